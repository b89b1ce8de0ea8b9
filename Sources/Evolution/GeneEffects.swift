import Schedules

/// What each gene adds to each objective, learned from the results: a linear guess at what an offspring is worth.
///
/// Every result moves the effects by the normalised least-mean-squares rule (Widrow and Hoff, "Adaptive switching
/// circuits", 1960), so the newest results, from where the search is, count most. Objectives keep their own units.
struct GeneEffects: Hashable, Sendable {
    /// The share of its own error that a result removes.
    static let rate: Float = 0.5

    /// For each objective the effect of every gene, +effect where it recomputes and -effect where not.
    private(set) var effects: [[Float]]
    /// For each objective the value where all effects cancel.
    private(set) var means: [Float]

    /// Effects that are not known yet.
    init() { (effects, means) = ([], []) }

    /// Effects as they were stored; there is one mean for each list of effects.
    init(effects: [[Float]], means: [Float]) {
        precondition(effects.count == means.count, "\(effects.count) lists of effects, \(means.count) means")
        (self.effects, self.means) = (effects, means)
    }

    /// Takes results into account, one after the other.
    mutating func learn(_ individuals: [Individual]) {
        guard let first = individuals.first else { return }
        if effects.count != first.objectives.count {
            effects = first.objectives.map { _ in Array(repeating: 0, count: first.offspring.genome.geneCount) }
            means = first.objectives.map { _ in 0 }
        }
        for individual in individuals {
            let signs = individual.offspring.genome.signs
            for objective in effects.indices {
                let guess = zip(effects[objective], signs).reduce(means[objective]) { $0 + $1.0 * $1.1 }
                let correction = Self.rate * (Float(individual.objectives[objective]) - guess) / 2
                means[objective] += correction
                let share = correction / Float(max(1, signs.count))
                for gene in signs.indices { effects[objective][gene] += share * signs[gene] }
            }
        }
    }

    /// The objectives to expect of a genome: its parent's, changed by the effects of the genes that differ.
    func objectives(of genome: Genome, parent: Individual) -> [Double] {
        guard effects.count == parent.objectives.count else { return parent.objectives }
        return zip(parent.objectives, effects).map { objective, effects in
            var change: Float = 0
            genome.forEachDifference(from: parent.offspring.genome) { gene in
                change += genome[gene] ? effects[gene] : -effects[gene]
            }
            return objective + 2 * Double(change)
        }
    }
}

extension Genome {
    /// 1 for each gene that recomputes, -1 for the others.
    fileprivate var signs: [Float] { (0..<geneCount).map { self[$0] ? 1 : -1 } }
}
