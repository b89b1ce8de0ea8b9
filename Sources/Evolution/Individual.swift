import Schedules

/// How an offspring came to be.
public enum Operation: String, CaseIterable, Codable, Sendable {
    /// Given at the start.
    case seed
    /// Genes of two parents.
    case crossover
    /// A parent with flipped genes.
    case mutation
    /// Genes of two parents, some flipped.
    case crossoverAndMutation = "crossover+mutation"
    /// A parent as it is; new only where its canonical form differs.
    case copy
}

/// A genome that waits for its evaluation.
public struct Offspring: Hashable, Sendable, Identifiable {
    /// Number within the search, ascending in the order of birth.
    public let id: Int
    /// Generation it belongs to; 0 for seeds.
    public let generation: Int
    /// The genes, in canonical form where the settings say so.
    public let genome: Genome
    /// Identifiers of its parents: none for seeds, else one or two.
    public let parents: [Int]
    /// How it came to be.
    public let operation: Operation
    /// Where its genes come from in words: a seed's label, such as "fora-3" or "random", else the operation.
    public let origin: String

    package init(
        id: Int, generation: Int, genome: Genome, parents: [Int], operation: Operation, origin: String
    ) {
        self.id = id
        self.generation = generation
        self.genome = genome
        self.parents = parents
        self.operation = operation
        self.origin = origin
    }
}

/// What evaluating an offspring gave.
public struct Outcome: Hashable, Codable, Sendable {
    /// The offspring's identifier.
    public let id: Int
    /// Its objectives, all minimised.
    public let objectives: [Double]

    /// Makes the outcome of an evaluation.
    public init(id: Int, objectives: [Double]) {
        self.id = id
        self.objectives = objectives
    }
}

/// An evaluated genome, with its standing in the population.
public struct Individual: Hashable, Sendable, Identifiable {
    /// The genome and its descent.
    public let offspring: Offspring
    /// Its objectives, all minimised and finite.
    public let objectives: [Double]
    /// By how many genes it is too close to the uncached schedule; 0 for feasible ones (pymoo: `CV`).
    public let violation: Int
    /// Index of its front within the population, nil where it is infeasible or was never ranked.
    public package(set) var rank: Int?
    /// Its crowding distance within that front when the population was formed.
    public package(set) var crowding: Double?

    /// The offspring's identifier.
    public var id: Int { offspring.id }

    /// Whether it satisfies the constraint.
    public var isFeasible: Bool { violation == 0 }

    /// Makes an individual that has not been ranked.
    public init(offspring: Offspring, objectives: [Double], violation: Int) {
        self.offspring = offspring
        self.objectives = objectives
        self.violation = violation
    }
}
