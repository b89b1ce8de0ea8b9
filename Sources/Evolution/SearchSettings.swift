/// Parameters of the evolutionary search, NSGA-II.
///
/// Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6 (2002).
public struct SearchSettings: Hashable, Codable, Sendable {
    /// A named choice of all parameters.
    public enum Preset: String, CaseIterable, Codable, Sendable {
        /// This project's own: canonical genomes, and whole regions mutated in three of ten offspring.
        case standard = "default"
        /// The original's, rule for rule: raw genomes, and 0.05 flipped genes for each offspring on average.
        ///
        /// In pymoo 0.6.1.3 `BitflipMutation(prob=0.05)` mutates 5 % of the offspring, and flips each gene of those
        /// with probability 1/n.
        case ecadPaper = "ecad-paper"
    }

    /// When offspring are bred.
    public enum Mode: String, CaseIterable, Codable, Sendable {
        /// A generation at a time, once all of the one before are evaluated.
        case generations
        /// One by one, as soon as somebody can evaluate them, from whatever has been evaluated by then.
        case steadyState = "steady-state"
    }

    /// The preset that the settings started from.
    public let preset: Preset
    /// When offspring are bred.
    public var mode = Mode.generations
    /// Number of individuals that survive a generation, and of offspring bred for the next.
    public var populationSize: Int
    /// Probability that a mating exchanges genes.
    public var crossoverProbability: Double
    /// Number of points at which a mating changes parents.
    public var crossoverPoints: Int
    /// Probability that an offspring is mutated.
    public var mutationProbability: Double
    /// Least expected number of flipped genes of a mutated offspring.
    ///
    /// Each draws its own expectation uniformly from here to ``mostFlips``, so that small steps and larger ones both
    /// occur; each gene then flips independently, with a probability of at most one half.
    public var fewestFlips: Double
    /// Greatest expected number of flipped genes of a mutated offspring.
    public var mostFlips: Double
    /// Probability that a mutated offspring has one component of some neighbouring blocks and steps set alike, instead of
    /// scattered genes flipped.
    ///
    /// Such genes matter together: what one of them saves or spoils, its neighbours do too.
    public var regionProbability = 0.0
    /// Number of offspring bred for each that is evaluated: the one that promises most by the effects of its genes, as
    /// far as they are known.
    public var screening = 1
    /// Least number of genes in which a feasible schedule differs from the uncached one.
    public var minimumDifference: Int
    /// How often breeding is repeated to replace duplicates before a generation stays short.
    public var duplicateRounds: Int
    /// Whether offspring take the form with the least recomputation that gives the same images.
    ///
    /// Genomes that must give equal images are then duplicates, and no evaluation is spent on them.
    public var usesCanonicalGenomes: Bool

    /// Makes the settings of a preset.
    public init(preset: Preset = .standard, populationSize: Int = 72) {
        self.preset = preset
        self.populationSize = populationSize
        crossoverProbability = 0.9
        crossoverPoints = 4
        minimumDifference = 1
        duplicateRounds = 100
        switch preset {
        case .standard:
            screening = 12
            mutationProbability = 0.3
            regionProbability = 1
            fewestFlips = 1
            mostFlips = 1
            usesCanonicalGenomes = true
        case .ecadPaper:
            mutationProbability = 0.05
            fewestFlips = 1
            mostFlips = 1
            usesCanonicalGenomes = false
        }
    }

    /// Checks that every parameter is in its range.
    ///
    /// - Throws: ``EvolutionError/setting(name:expected:found:)`` for the first that is not.
    public func validate() throws(EvolutionError) {
        func check(_ name: String, _ isValid: Bool, _ expected: String, _ found: Any) throws(EvolutionError) {
            guard isValid else { throw .setting(name: name, expected: expected, found: "\(found)") }
        }
        try check("population", (2...100_000).contains(populationSize), "2 to 100000", populationSize)
        try check(
            "crossover_probability", (0...1).contains(crossoverProbability), "0 to 1", crossoverProbability)
        try check("crossover_points", (1...1000).contains(crossoverPoints), "1 to 1000", crossoverPoints)
        try check("mutation_probability", (0...1).contains(mutationProbability), "0 to 1", mutationProbability)
        try check("fewest_flips", (0...1e6).contains(fewestFlips), "0 to 1000000", fewestFlips)
        try check(
            "most_flips", mostFlips >= fewestFlips && mostFlips <= 1e6, "\(fewestFlips) to 1000000", mostFlips)
        try check("region_probability", (0...1).contains(regionProbability), "0 to 1", regionProbability)
        try check("screening", (1...1000).contains(screening), "1 to 1000", screening)
        try check("minimum_difference", (0...1_000_000).contains(minimumDifference), "0 to 1000000", minimumDifference)
        try check("duplicate_rounds", (1...10_000).contains(duplicateRounds), "1 to 10000", duplicateRounds)
    }
}
