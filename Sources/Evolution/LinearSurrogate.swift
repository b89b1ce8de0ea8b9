import Schedules

/// A linear model of each objective: an intercept plus or minus a weight for every gene.
///
/// Fitted online by normalised least mean squares (Widrow and Hoff, "Adaptive switching circuits", 1960), so the latest
/// results, from the region being searched, count most. Objectives keep their own units.
struct LinearSurrogate: Hashable, Sendable {
    /// The share of its residual that an observation removes.
    static let learningRate: Float = 0.5

    /// `[objectives][genes]`: added for a gene that recomputes, subtracted for one that reuses.
    private(set) var weights: [[Float]]
    /// One for each objective.
    private(set) var intercepts: [Float]

    /// A surrogate without observations.
    init() { (weights, intercepts) = ([], []) }

    init(weights: [[Float]], intercepts: [Float]) {
        precondition(weights.count == intercepts.count, "one weight vector for each intercept")
        (self.weights, self.intercepts) = (weights, intercepts)
    }

    /// Fits the model to results, one after the other.
    mutating func fit(_ individuals: [Individual]) {
        guard let first = individuals.first else { return }
        if weights.count != first.objectives.count {
            weights = first.objectives.map { _ in Array(repeating: 0, count: first.offspring.genome.geneCount) }
            intercepts = first.objectives.map { _ in 0 }
        }
        for individual in individuals {
            let signs = individual.offspring.genome.signs
            for objective in weights.indices {
                let prediction = zip(weights[objective], signs).reduce(intercepts[objective]) { $0 + $1.0 * $1.1 }
                let correction = Self.learningRate * (Float(individual.objectives[objective]) - prediction) / 2
                intercepts[objective] += correction
                let share = correction / Float(max(1, signs.count))
                for gene in signs.indices { weights[objective][gene] += share * signs[gene] }
            }
        }
    }

    /// The parent's objectives, changed by the weights of the genes that differ.
    func predictedObjectives(of genome: Genome, parent: Individual) -> [Double] {
        guard weights.count == parent.objectives.count else { return parent.objectives }
        return zip(parent.objectives, weights).map { objective, weights in
            var change: Float = 0
            genome.forEachDifference(from: parent.offspring.genome) { gene in
                change += genome[gene] ? weights[gene] : -weights[gene]
            }
            return objective + 2 * Double(change)
        }
    }
}

extension Genome {
    /// 1 for each gene that recomputes, -1 for each that reuses.
    fileprivate var signs: [Float] { (0..<geneCount).map { self[$0] ? 1 : -1 } }
}

// MARK: - Screening

/// Selects the children worth an evaluation by their predicted objectives.
struct Screening {
    let surrogate: LinearSurrogate
    /// Evaluated individuals, not empty.
    let population: [Individual]

    /// Selects the children that would rank best in the population, by front and crowding distance as in survival.
    ///
    /// - Returns: At most `count` children, in the order given.
    func best(_ count: Int, of children: [Mating.Child]) -> [Mating.Child] {
        guard children.count > count, !population.isEmpty else { return children }
        let parents = Dictionary(population.map { ($0.id, $0) }) { first, _ in first }
        let points = population.map(\.objectives) + children.map { predictedObjectives(of: $0, parents: parents) }
        var selected: [Int] = []
        var rest = Array(points.indices)
        while selected.count < count {
            let front = Pareto.front(of: rest.map { points[$0] }).map { rest[$0] }
            let crowding = Pareto.crowdingDistances(front.map { points[$0] })
            let order = front.indices.sorted {
                crowding[$0] != crowding[$1] ? crowding[$0] > crowding[$1] : front[$0] < front[$1]
            }
            let indices = order.map { front[$0] - population.count }.filter { $0 >= 0 }
            selected += indices.prefix(count - selected.count)
            let ranked = Set(front)
            rest.removeAll { ranked.contains($0) }
        }
        return selected.sorted().map { children[$0] }
    }

    /// Predicts from the parent with the fewest different genes, or from the best individual if no parent survives.
    private func predictedObjectives(of child: Mating.Child, parents: [Int: Individual]) -> [Double] {
        let nearest = child.parents.compactMap { parents[$0] }.min {
            $0.offspring.genome.hammingDistance(to: child.genome)
                < $1.offspring.genome.hammingDistance(to: child.genome)
        }
        return surrogate.predictedObjectives(of: child.genome, parent: nearest ?? population[0])
    }
}
