/// Parameters of NSGA-II.
///
/// Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6 (2002).
public struct SearchSettings: Hashable, Sendable {
    /// A named set of parameters.
    public enum Preset: String, CaseIterable, Sendable {
        /// Schedules solved from measured reuse errors (see ``SearchGuide``); without them as ``nsga2``.
        case standard = "default"
        /// Canonical genomes, region mutation in 30 % of the offspring, and surrogate screening.
        case nsga2
        /// The settings of the ECAD paper: raw genomes, and 0.05 flipped genes per offspring on average.
        ///
        /// In pymoo 0.6.1.3, `BitflipMutation(prob=0.05)` mutates 5 % of the offspring and flips each of their genes with
        /// probability 1/n.
        case ecadPaper = "ecad-paper"
    }

    /// When offspring are bred.
    public enum Mode: String, CaseIterable, Sendable {
        /// One generation at a time, after the previous one has been evaluated.
        case generations
        /// Continuously, from the individuals evaluated so far (asynchronous).
        case steadyState = "steady-state"
    }

    /// The preset these settings are based on.
    public let preset: Preset
    /// When offspring are bred.
    public var mode = Mode.generations
    /// Number of survivors and of offspring in each generation.
    public var populationSize: Int
    /// Probability that a mating exchanges genes.
    public var crossoverProbability: Double
    /// Number of cut points of a crossover.
    public var crossoverPoints: Int
    /// Probability that an offspring is mutated.
    public var mutationProbability: Double
    /// Lower bound of the expected number of flipped genes in a mutated offspring.
    ///
    /// Each mutation draws its expectation uniformly from `minFlips...maxFlips`; each gene then flips independently, with
    /// a probability of at most one half.
    public var minFlips: Double
    /// Upper bound of the expected number of flipped genes in a mutated offspring.
    public var maxFlips: Double
    /// Probability that a mutation sets one component of adjacent blocks and steps to the same value, instead of
    /// flipping independent genes.
    ///
    /// Adjacent genes affect cost and quality alike, so changing them together takes larger useful steps.
    public var regionProbability = 0.0
    /// Number of offspring bred for each one evaluated, which the surrogate selects; 1 disables screening.
    public var screening = 1
    /// Minimum number of genes in which a feasible schedule differs from the uncached one.
    public var minimumDifference: Int
    /// Maximum number of mating rounds to replace duplicates.
    public var duplicateRounds: Int
    /// Whether genomes are reduced to the form with the least recomputation that gives the same images.
    ///
    /// Genomes that produce identical images then count as duplicates and are evaluated once.
    public var usesCanonicalGenomes: Bool

    /// Uses a preset's parameters.
    public init(preset: Preset = .standard, populationSize: Int = 72) {
        self.preset = preset
        self.populationSize = populationSize
        crossoverProbability = 0.9
        crossoverPoints = 4
        minimumDifference = 1
        duplicateRounds = 100
        switch preset {
        case .standard, .nsga2:
            screening = 12
            mutationProbability = 0.3
            regionProbability = 1
            minFlips = 1
            maxFlips = 1
            usesCanonicalGenomes = true
        case .ecadPaper:
            mutationProbability = 0.05
            minFlips = 1
            maxFlips = 1
            usesCanonicalGenomes = false
        }
    }

    /// Checks all ranges.
    ///
    /// - Throws: ``EvolutionError/setting(name:expected:found:)`` for the first parameter out of range.
    public func validate() throws(EvolutionError) {
        func check(_ name: String, _ isValid: Bool, _ expected: String, _ found: Any) throws(EvolutionError) {
            guard isValid else { throw .setting(name: name, expected: expected, found: "\(found)") }
        }
        try check("population", (2...100_000).contains(populationSize), "2 to 100000", populationSize)
        try check(
            "crossover_probability", (0...1).contains(crossoverProbability), "0 to 1", crossoverProbability)
        try check("crossover_points", (1...1000).contains(crossoverPoints), "1 to 1000", crossoverPoints)
        try check("mutation_probability", (0...1).contains(mutationProbability), "0 to 1", mutationProbability)
        try check("fewest_flips", (0...1e6).contains(minFlips), "0 to 1000000", minFlips)
        try check(
            "most_flips", maxFlips >= minFlips && maxFlips <= 1e6, "\(minFlips) to 1000000", maxFlips)
        try check("region_probability", (0...1).contains(regionProbability), "0 to 1", regionProbability)
        try check("screening", (1...1000).contains(screening), "1 to 1000", screening)
        try check("minimum_difference", (0...1_000_000).contains(minimumDifference), "0 to 1000000", minimumDifference)
        try check("duplicate_rounds", (1...10_000).contains(duplicateRounds), "1 to 10000", duplicateRounds)
    }
}
