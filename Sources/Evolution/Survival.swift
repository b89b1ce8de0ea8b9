/// Rank-and-crowding survival (pymoo: `RankAndCrowding`).
package enum Survival {
    /// Chooses those that form the next population, and ranks them.
    ///
    /// Whole fronts of feasible individuals are taken while they fit. The front that does not is cut by crowding
    /// distance, computed once over the whole front, ties in random order. Places that remain go to infeasible
    /// individuals, smallest violation first.
    ///
    /// - Parameters:
    ///   - individuals: Parents and offspring.
    ///   - count: Size of the next population.
    ///   - generator: Breaks ties.
    /// - Returns: The survivors, best fronts first and infeasible ones last.
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
                // A stable sort of a shuffled order leaves equal distances in random order.
                generator.shuffle(&order)
                let places = Array(order.enumerated()).sorted {
                    crowding[$0.element] != crowding[$1.element]
                        ? crowding[$0.element] > crowding[$1.element] : $0.offset < $1.offset
                }
                order = places.prefix(room).map(\.element)
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
