/// What a benchmark measures.
public struct BenchmarkOptions: Sendable {
    /// The file of prompts, of any of the published forms.
    public var promptsPath: String
    /// The prompt set's name in the history; nil for the file's name without its ending.
    public var name: String?
    /// Files of schedules of either format.
    public var schedulePaths: [String]
    /// Whether the run's front is measured.
    public var includesFront: Bool
    /// Whether FORA and TGATE schedules of about the same latency are measured beside.
    public var includesHeuristics: Bool
    /// Seeds that every prompt is run with.
    public var seedsPerPrompt: Int
    /// The file of the prompts' embeddings; nil if every worker embeds the prompts itself.
    public var embeddingsPath: String?
    /// Scorers beside those of the run, or instead: texts such as `scorers.clip=models/shapes-clip`.
    public var scorers: [String]

    /// Options of a benchmark.
    public init(
        promptsPath: String, name: String? = nil, schedulePaths: [String] = [], includesFront: Bool = false,
        includesHeuristics: Bool = false, seedsPerPrompt: Int = 1, embeddingsPath: String? = nil,
        scorers: [String] = []
    ) {
        self.promptsPath = promptsPath
        self.name = name
        self.schedulePaths = schedulePaths
        self.includesFront = includesFront
        self.includesHeuristics = includesHeuristics
        self.seedsPerPrompt = seedsPerPrompt
        self.embeddingsPath = embeddingsPath
        self.scorers = scorers
    }
}
