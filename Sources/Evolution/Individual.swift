import Schedules

/// The operators that produced an offspring.
public enum Operation: String, CaseIterable, Sendable {
    /// Member of the initial population.
    case seed
    /// Genes of two parents.
    case crossover
    /// A parent with flipped genes.
    case mutation
    /// Genes of two parents, some flipped.
    case crossoverAndMutation = "crossover+mutation"
    /// Least predicted error for a cost.
    case solved
    /// An unchanged parent; distinct from it only in canonical form.
    case copy
}

/// A genome to be evaluated.
public struct Offspring: Hashable, Sendable, Identifiable {
    /// Ascending within the search, from 0.
    public let id: Int
    /// Generation it belongs to; 0 for seeds.
    public let generation: Int
    /// In canonical form if ``SearchSettings/usesCanonicalGenomes`` is set.
    public let genome: Genome
    /// Identifiers of its parents: none for seeds, else one or two.
    public let parents: [Int]
    /// The operators applied.
    public let operation: Operation
    /// A seed's label, such as "fora-3" or "random"; otherwise the operation's name.
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

/// What an error model predicts of a schedule before it is evaluated.
public struct Prediction: Hashable, Sendable {
    /// Natural logarithm of the mean squared error of its images against the uncached ones; before the model has been
    /// fitted to results, up to an unknown constant that is the same for all schedules.
    public let logError: Double
    /// Mean of the second objective, minimised; nil before the model has been fitted.
    public let loss: Double?
    /// Standard deviation of the second objective; nil before the model has been fitted.
    public let deviation: Double?

    package init(logError: Double, loss: Double? = nil, deviation: Double? = nil) {
        self.logError = logError
        self.loss = loss
        self.deviation = deviation
    }
}

/// The result of evaluating an offspring.
public struct Outcome: Hashable, Sendable {
    /// The offspring's identifier.
    public let id: Int
    /// All minimised.
    public let objectives: [Double]
    /// Natural logarithm of the mean squared error of the images against the uncached ones, for an error model; nil if
    /// unknown.
    public let logError: Double?

    /// Pairs an offspring with its objectives.
    public init(id: Int, objectives: [Double], logError: Double? = nil) {
        self.id = id
        self.objectives = objectives
        self.logError = logError
    }
}

/// An evaluated offspring, with its rank in the population.
public struct Individual: Hashable, Sendable, Identifiable {
    /// The genome and its parents.
    public let offspring: Offspring
    /// All minimised and finite.
    public let objectives: [Double]
    /// Number of genes by which it misses the minimum difference from the uncached schedule (pymoo: `CV`); 0 if feasible.
    public let violation: Int
    /// Index of its front at the last survival; nil if it is infeasible or has not been ranked.
    public package(set) var rank: Int?
    /// Crowding distance within that front at the last survival.
    public package(set) var crowding: Double?

    /// The offspring's identifier.
    public var id: Int { offspring.id }

    /// Whether it differs enough from the uncached schedule.
    public var isFeasible: Bool { violation == 0 }

    /// Creates an unranked individual.
    public init(offspring: Offspring, objectives: [Double], violation: Int) {
        self.offspring = offspring
        self.objectives = objectives
        self.violation = violation
    }
}
