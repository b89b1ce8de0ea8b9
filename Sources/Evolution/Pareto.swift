/// Dominance among objective vectors, all objectives minimised; none may be NaN.
public enum Pareto {
    /// Whether a point is nowhere worse than another and somewhere better.
    ///
    /// - Precondition: Both have the same number of objectives.
    public static func dominates(_ point: [Double], _ other: [Double]) -> Bool {
        precondition(point.count == other.count, "points of \(point.count) and \(other.count) objectives")
        var isBetter = false
        for objective in point.indices {
            if point[objective] > other[objective] { return false }
            if point[objective] < other[objective] { isBetter = true }
        }
        return isBetter
    }

    /// Sorts points into fronts: each holds what only points of earlier fronts dominate.
    ///
    /// The result of pymoo's `NonDominatedSorting` (Deb et al. 2002), equal points sharing a front.
    ///
    /// - Parameter points: Objective vectors.
    /// - Returns: Indices of every front, in pymoo's order: by the last of those in the front before that dominate a
    ///   point, on which the crowding distance of points with equal objectives depends.
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

    /// Indices of the points that no other dominates, ascending; equal points are all kept.
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

    /// How far apart each point's neighbours within its front are.
    ///
    /// The result of pymoo's `calc_crowding_distance`: for each objective the gap between both neighbours divided by
    /// the front's range, averaged over the objectives. The first and last point of an objective have an infinite
    /// gap there; an objective in which all points are equal adds nothing to any of them.
    ///
    /// - Parameter points: Objective vectors of one front.
    /// - Returns: One distance for each point; all infinite for one or two points.
    public static func crowdingDistances(_ points: [[Double]]) -> [Double] {
        guard points.count > 2 else { return points.map { _ in .infinity } }
        var distances = [Double](repeating: 0, count: points.count)
        for objective in points[0].indices {
            let order = points.indices.sorted {
                (points[$0][objective], $0) < (points[$1][objective], $1)
            }
            let values = order.map { points[$0][objective] }
            let range = values[values.count - 1] - values[0]
            // Equal infinities leave no range either.
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

    /// The area that points dominate up to a reference point.
    ///
    /// - Parameters:
    ///   - points: Points of two objectives, dominated ones included or not; those that do not lie below the
    ///     reference in both objectives, and infinite ones, add nothing.
    ///   - reference: The worst point that counts.
    /// - Returns: The exact hypervolume of two objectives.
    /// - Precondition: Everything has two objectives.
    public static func hypervolume(of points: [[Double]], reference: [Double]) -> Double {
        precondition(reference.count == 2 && points.allSatisfy { $0.count == 2 }, "an area has two dimensions")
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
