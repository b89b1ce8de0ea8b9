/// Dominance among objective vectors, all objectives minimised; none may be NaN.
public enum Pareto {
    /// Whether a point is no worse than another in any objective and better in at least one.
    ///
    /// - Precondition: Both have the same number of objectives.
    public static func dominates(_ point: [Double], _ other: [Double]) -> Bool {
        precondition(point.count == other.count, "\(point.count) and \(other.count) objectives")
        var isBetter = false
        for objective in point.indices {
            if point[objective] > other[objective] { return false }
            if point[objective] < other[objective] { isBetter = true }
        }
        return isBetter
    }

    /// Sorts points into fronts by the algorithm of NSGA-II; equal points share a front.
    ///
    /// Within a front, points are in the order of pymoo's `NonDominatedSorting`: by their last dominator in the previous
    /// front. The crowding distance of equal points depends on that order.
    ///
    /// - Returns: Indices of the points in each front.
    /// - Complexity: O(*m n*²) for *n* points of *m* objectives.
    public static func nonDominatedSort(_ points: [[Double]]) -> [[Int]] {
        var dominated = [[Int]](repeating: [], count: points.count)
        var dominatorCount = [Int](repeating: 0, count: points.count)
        for first in points.indices {
            for second in points.indices.dropFirst(first + 1) {
                if dominates(points[first], points[second]) {
                    dominated[first].append(second)
                    dominatorCount[second] += 1
                } else if dominates(points[second], points[first]) {
                    dominated[second].append(first)
                    dominatorCount[first] += 1
                }
            }
        }
        var fronts: [[Int]] = []
        var current = points.indices.filter { dominatorCount[$0] == 0 }
        while !current.isEmpty {
            fronts.append(current)
            var next: [Int] = []
            for index in current {
                for other in dominated[index] {
                    dominatorCount[other] -= 1
                    if dominatorCount[other] == 0 { next.append(other) }
                }
            }
            current = next
        }
        return fronts
    }

    /// Indices of the non-dominated points, ascending; includes all copies of equal points.
    ///
    /// - Complexity: O(*n* log *n*) for two objectives, O(*m n*²) for others.
    public static func front(of points: [[Double]]) -> [Int] {
        guard points.allSatisfy({ $0.count == 2 }) else {
            return points.indices.filter { index in !points.contains { dominates($0, points[index]) } }
        }
        let order = points.indices.sorted {
            (points[$0][0], points[$0][1]) < (points[$1][0], points[$1][1])
        }
        var front: [Int] = []
        for index in order {
            guard let last = front.last else {
                front.append(index)
                continue
            }
            if points[index][1] < points[last][1] || points[index] == points[last] { front.append(index) }
        }
        return front.sorted()
    }

    /// Crowding distances of the points of one front, equal to pymoo's `calc_crowding_distance`.
    ///
    /// For each objective, the gap between a point's neighbours divided by the front's range, averaged over the
    /// objectives. The first and last point of an objective have an infinite gap; an objective in which all points are
    /// equal contributes 0. With one or two points all distances are infinite.
    public static func crowdingDistances(_ points: [[Double]]) -> [Double] {
        guard points.count > 2 else { return points.map { _ in .infinity } }
        var distances = [Double](repeating: 0, count: points.count)
        for objective in points[0].indices {
            let order = points.indices.sorted {
                (points[$0][objective], $0) < (points[$1][objective], $1)
            }
            let values = order.map { points[$0][objective] }
            let range = values[values.count - 1] - values[0]
            // The range of equal infinities is NaN.
            guard range > 0 else { continue }
            for position in order.indices {
                let gapBefore = position == 0 ? .infinity : values[position] - values[position - 1]
                let gapAfter = position == order.count - 1 ? .infinity : values[position + 1] - values[position]
                for share in [gapBefore / range, gapAfter / range] where !share.isNaN {
                    distances[order[position]] += share
                }
            }
        }
        return distances.map { $0 / Double(points[0].count) }
    }

    /// The exact hypervolume of points with two objectives: the area they dominate within a reference point.
    ///
    /// Points that are infinite, dominated, or not below the reference in both objectives contribute nothing.
    ///
    /// - Precondition: The points and the reference have two objectives.
    public static func hypervolume(of points: [[Double]], reference: [Double]) -> Double {
        precondition(
            reference.count == 2 && points.allSatisfy { $0.count == 2 }, "the hypervolume needs two objectives")
        let inside = points.filter {
            $0[0] < reference[0] && $0[1] < reference[1] && $0[0].isFinite && $0[1].isFinite
        }
        var area = 0.0
        var ceiling = reference[1]
        for point in inside.sorted(by: { $0[0] < $1[0] }) where point[1] < ceiling {
            area += (reference[0] - point[0]) * (ceiling - point[1])
            ceiling = point[1]
        }
        return area
    }
}

// MARK: - Survival

/// Rank-and-crowding survival (pymoo: `RankAndCrowding`).
package enum Survival {
    /// Selects and ranks the next population from parents and offspring.
    ///
    /// Whole fronts of feasible individuals survive while they fit. The last front is cut by crowding distance, computed
    /// once over the whole front, with ties broken at random. Infeasible individuals fill the rest, smallest violation
    /// first.
    ///
    /// - Returns: At most `count` survivors, best front first and infeasible ones last.
    package static func select(
        _ individuals: [Individual], count: Int, using generator: inout RandomGenerator
    ) -> [Individual] {
        let feasible = individuals.filter(\.isFeasible)
        var survivors: [Individual] = []
        for (rank, front) in Pareto.nonDominatedSort(feasible.map(\.objectives)).enumerated() {
            guard survivors.count < count else { break }
            let crowding = Pareto.crowdingDistances(front.map { feasible[$0].objectives })
            var order = Array(front.indices)
            let room = count - survivors.count
            if front.count > room {
                // A stable sort of a shuffled order breaks ties at random.
                generator.shuffle(&order)
                let ordered = Array(order.enumerated()).sorted {
                    crowding[$0.element] != crowding[$1.element]
                        ? crowding[$0.element] > crowding[$1.element] : $0.offset < $1.offset
                }
                order = ordered.prefix(room).map(\.element)
            }
            for position in order {
                var survivor = feasible[front[position]]
                survivor.rank = rank
                survivor.crowding = crowding[position]
                survivors.append(survivor)
            }
        }
        let infeasible = individuals.filter { !$0.isFeasible }.sorted {
            ($0.violation, $0.id) < ($1.violation, $1.id)
        }
        return survivors + infeasible.prefix(max(0, count - survivors.count))
    }
}
