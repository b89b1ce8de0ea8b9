import Schedules

/// Chooses which of many bred children are worth an evaluation, by what the effects of their genes promise.
struct Screening {
    let effects: GeneEffects
    /// Evaluated individuals, at least one; every child's parents among them.
    let population: [Individual]

    /// The children that would rank best among the population, by front and crowding distance as in survival.
    ///
    /// - Parameters:
    ///   - count: The number of children wanted.
    ///   - children: New genomes.
    /// - Returns: At most `count` of them, in the order given.
    func best(_ count: Int, of children: [Mating.Child]) -> [Mating.Child] {
        guard children.count > count, !population.isEmpty else { return children }
        let parents = Dictionary(population.map { ($0.id, $0) }) { first, _ in first }
        let points = population.map(\.objectives) + children.map { promise(of: $0, parents: parents) }
        var chosen: [Int] = []
        var rest = Array(points.indices)
        while chosen.count < count {
            let front = Pareto.front(of: rest.map { points[$0] }).map { rest[$0] }
            let crowding = Pareto.crowdingDistances(front.map { points[$0] })
            let order = front.indices.sorted {
                crowding[$0] != crowding[$1] ? crowding[$0] > crowding[$1] : front[$0] < front[$1]
            }
            let places = order.map { front[$0] - population.count }.filter { $0 >= 0 }
            chosen += places.prefix(count - chosen.count)
            let taken = Set(front)
            rest.removeAll { taken.contains($0) }
        }
        return chosen.sorted().map { children[$0] }
    }

    /// What the nearest of a child's parents, or failing those anybody, leads to expect.
    private func promise(of child: Mating.Child, parents: [Int: Individual]) -> [Double] {
        let nearest = child.parents.compactMap { parents[$0] }.min {
            $0.offspring.genome.hammingDistance(to: child.genome)
                < $1.offspring.genome.hammingDistance(to: child.genome)
        }
        return effects.objectives(of: child.genome, parent: nearest ?? population[0])
    }
}
