/// One cell of the schedule: what a gene decides about.
public struct GeneCell: Hashable, Sendable {
    /// Denoising step, 0 first.
    public let step: Int
    /// Block index as the model counts it.
    public let block: Int
    /// The component's name, `attn1` for one.
    public let component: String

    /// Describes a gene.
    ///
    /// - Parameters:
    ///   - step: Denoising step, 0 first.
    ///   - block: Block index.
    ///   - component: Component name.
    public init(step: Int, block: Int, component: String) {
        self.step = step
        self.block = block
        self.component = component
    }
}

/// The point that bounds the hypervolume: no better in either objective than any front member that shall count.
public struct ReferencePoint: Hashable, Sendable {
    /// Cost, minimised.
    public let cost: Double
    /// Quality, maximised.
    public let quality: Double

    /// Makes a reference point.
    ///
    /// - Parameters:
    ///   - cost: The worst (highest) cost that counts.
    ///   - quality: The worst (lowest) quality that counts.
    public init(cost: Double, quality: Double) {
        self.cost = cost
        self.quality = quality
    }
}

/// A run about to be entered in the history.
public struct NewRun: Sendable {
    /// A name for people.
    public var name: String
    /// The run configuration as TOML, all defaults resolved.
    public var configuration: String
    /// What is minimised: `latency`, `measured` or `macs`.
    public var costObjective: String
    /// What is maximised: a scorer's name.
    public var qualityObjective: String
    /// The model as schedules see it, as JSON.
    public var shape: String
    /// What each gene decides about, in genome order; its count fixes the length of all genomes.
    public var genes: [GeneCell]
    /// Identifies the model's weights.
    public var modelHash: String
    /// The search's seed.
    public var seed: Int64
    /// The hypervolume's reference point, if it is known already.
    public var reference: ReferencePoint?
    /// The calibration prompts; a prompt's index is its place here.
    public var prompts: [String]
    /// Equal for runs in which equal images get equal scores: their evaluations may be taken over.
    public var evaluationKey: String?

    /// Describes a run.
    ///
    /// - Parameters:
    ///   - name: A name for people.
    ///   - configuration: The run configuration as TOML, all defaults resolved.
    ///   - costObjective: What is minimised.
    ///   - qualityObjective: What is maximised.
    ///   - shape: The model as schedules see it, as JSON.
    ///   - genes: What each gene decides about, in genome order.
    ///   - modelHash: Identifies the model's weights.
    ///   - seed: The search's seed.
    ///   - reference: The hypervolume's reference point.
    ///   - prompts: The calibration prompts.
    ///   - evaluationKey: Equal for runs in which equal images get equal scores.
    public init(
        name: String, configuration: String, costObjective: String, qualityObjective: String, shape: String,
        genes: [GeneCell], modelHash: String, seed: Int64, reference: ReferencePoint? = nil, prompts: [String],
        evaluationKey: String? = nil
    ) {
        self.name = name
        self.configuration = configuration
        self.costObjective = costObjective
        self.qualityObjective = qualityObjective
        self.shape = shape
        self.genes = genes
        self.modelHash = modelHash
        self.seed = seed
        self.reference = reference
        self.prompts = prompts
        self.evaluationKey = evaluationKey
    }
}

/// Where a run stands.
public enum RunStatus: String, Sendable, CaseIterable {
    /// At work, or killed and not yet resumed.
    case running
    /// All generations done.
    case finished
    /// Ended early by a person.
    case stopped
    /// Ended by an error.
    case failed
}

/// A run as the history holds it.
public struct RunRecord: Hashable, Sendable {
    /// The row's identity.
    public let id: Int64
    /// A name for people.
    public let name: String
    /// The resolved run configuration, TOML.
    public let configuration: String
    /// What is minimised.
    public let costObjective: String
    /// What is maximised.
    public let qualityObjective: String
    /// The model as schedules see it, JSON.
    public let shape: String
    /// Genes of a genome.
    public let geneCount: Int
    /// Identifies the model's weights.
    public let modelHash: String
    /// The search's seed.
    public let seed: Int64
    /// The hypervolume's reference point.
    public let reference: ReferencePoint?
    /// Equal for runs in which equal images get equal scores; `nil` in histories of the first schema.
    public let evaluationKey: String?
    /// Where the run stands.
    public let status: RunStatus
    /// Unix seconds.
    public let createdAt: Double
    /// Unix seconds; `nil` while running.
    public let finishedAt: Double?
}

/// A generation as the history holds it.
public struct GenerationRecord: Hashable, Sendable {
    /// The run it belongs to.
    public let runID: Int64
    /// 0 for the first.
    public let number: Int
    /// The search's state: after this generation's ask, and once it is finished after its tell.
    public let searchState: [UInt8]
    /// Unix seconds.
    public let startedAt: Double
    /// Unix seconds; `nil` while candidates are being evaluated.
    public let finishedAt: Double?
    /// Of the front at the generation's end.
    public let hypervolume: Double?
    /// Candidates of this generation with a finished evaluation, counted at its end.
    public let evaluations: Int
    /// Seconds of work on this generation, without the time the coordinator was down.
    public let wallSeconds: Double

    /// Whether the search has been told this generation's results.
    public var isFinished: Bool { finishedAt != nil }
}
