/// Binary tournament selection on random permutations (pymoo: `TournamentSelection` with `binary_tournament`).
package enum Tournament {
    /// Chooses the parents of matings.
    ///
    /// Everyone competes once before anyone competes again.
    ///
    /// - Parameters:
    ///   - population: Ranked individuals; at least one.
    ///   - matings: Number of pairs.
    ///   - generator: Draws opponents and breaks ties.
    /// - Returns: Indices of two parents for each mating, possibly equal.
    package static func parents(
        from population: [Individual], matings: Int, using generator: inout RandomGenerator
    ) -> [(Int, Int)] {
        var competitors: [Int] = []
        while competitors.count < matings * 4 {
            competitors += generator.permutation(of: population.count)
        }
        func winner(_ position: Int) -> Int {
            let (first, second) = (competitors[position], competitors[position + 1])
            return isBetter(population[first], than: population[second], using: &generator) ? first : second
        }
        return (0..<matings).map { (winner($0 * 4), winner($0 * 4 + 2)) }
    }

    /// Whether the first wins: by constraint violation, then dominance, then crowding distance, then by lot.
    package static func isBetter(
        _ first: Individual, than second: Individual, using generator: inout RandomGenerator
    ) -> Bool {
        if !first.isFeasible || !second.isFeasible {
            if first.violation != second.violation { return first.violation < second.violation }
        } else {
            if Pareto.dominates(first.objectives, second.objectives) { return true }
            if Pareto.dominates(second.objectives, first.objectives) { return false }
            let (near, far) = (first.crowding ?? 0, second.crowding ?? 0)
            if near != far { return near > far }
        }
        return generator.integer(below: 2) == 0
    }
}
