import Foundation
import GRDB

/// The cell of the schedule that one gene controls.
public struct GeneCell: Hashable, Sendable {
    /// Denoising step, counted from 0.
    public let step: Int
    /// Block index, as the model counts blocks.
    public let block: Int
    /// Component name, such as `attn1`.
    public let component: String

    /// A cell; `step` counts from 0.
    public init(step: Int, block: Int, component: String) {
        self.step = step
        self.block = block
        self.component = component
    }
}

/// Reference point of the hypervolume: the worst cost and quality that still count.
public struct ReferencePoint: Hashable, Sendable {
    /// Highest cost that counts.
    public let cost: Double
    /// Lowest quality that counts.
    public let quality: Double

    /// A point in the run's objectives: cost is minimised, quality maximised.
    public init(cost: Double, quality: Double) {
        self.cost = cost
        self.quality = quality
    }
}

/// A run to insert.
public struct NewRun: Sendable {
    /// Display name.
    public var name: String
    /// Run configuration as TOML, with all defaults resolved.
    public var configuration: String
    /// Minimised objective: `latency`, `measured` or `macs`.
    public var costObjective: String
    /// Maximised objective: the name of a scorer.
    public var qualityObjective: String
    /// Steps, blocks and components of the schedules, as JSON.
    public var shape: String
    /// Cells of the genes in genome order; their number fixes the length of all genomes.
    public var genes: [GeneCell]
    /// Fingerprint of the model's weights.
    public var modelHash: String
    /// Seed of the search.
    public var seed: Int64
    /// Reference point of the hypervolume.
    public var reference: ReferencePoint?
    /// Calibration prompts; a prompt's index is its position here.
    public var prompts: [String]
    /// Equal for runs in which equal images get equal scores, so that one can reuse the other's measurements.
    public var evaluationKey: String?
    /// What its calibration images are computed with: `native` or `torch`, and the precision.
    public var engine, precision: String

    /// A run; `configuration` is TOML, `shape` is JSON.
    public init(
        name: String, configuration: String, costObjective: String, qualityObjective: String, shape: String,
        genes: [GeneCell], modelHash: String, seed: Int64, reference: ReferencePoint? = nil, prompts: [String],
        evaluationKey: String? = nil, engine: String = "native", precision: String = "float32"
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
        self.engine = engine
        self.precision = precision
    }
}

/// State of a run.
public enum RunStatus: String, Sendable, CaseIterable {
    /// Running, or interrupted and not yet resumed.
    case running
    /// All generations are finished.
    case finished
    /// Stopped by a person.
    case stopped
    /// Stopped by an error.
    case failed
}

/// A stored run.
public struct RunRecord: Hashable, Sendable {
    /// Row id.
    public let id: Int64
    /// Display name.
    public let name: String
    /// Run configuration as TOML, with all defaults resolved.
    public let configuration: String
    /// Minimised objective.
    public let costObjective: String
    /// Maximised objective.
    public let qualityObjective: String
    /// Steps, blocks and components of the schedules, as JSON.
    public let shape: String
    /// Number of genes of a genome.
    public let geneCount: Int
    /// Fingerprint of the model's weights.
    public let modelHash: String
    /// Seed of the search.
    public let seed: Int64
    /// Reference point of the hypervolume.
    public let reference: ReferencePoint?
    /// As in `NewRun`; nil in a run created by the first release.
    public let evaluationKey: String?
    /// State of the run.
    public let status: RunStatus
    /// Unix seconds.
    public let createdAt: Double
    /// Unix seconds; nil while the status is `running`.
    public let finishedAt: Double?
}

extension RunRecord {
    init(_ row: Row) throws {
        let cost: Double? = row["reference_cost"]
        let quality: Double? = row["reference_quality"]
        id = row["id"]
        name = row["name"]
        configuration = row["configuration"]
        costObjective = row["cost_objective"]
        qualityObjective = row["quality_objective"]
        shape = row["shape"]
        geneCount = row["gene_count"]
        modelHash = row["model_hash"]
        seed = row["seed"]
        reference = cost.flatMap { cost in quality.map { ReferencePoint(cost: cost, quality: $0) } }
        evaluationKey = row["evaluation_key"]
        status = try row.value("status", of: "runs")
        createdAt = row["created_at"]
        finishedAt = row["finished_at"]
    }
}

/// The state needed to resume a run.
public struct RunSnapshot: Hashable, Sendable {
    /// The run with its configuration.
    public let run: RunRecord
    /// The latest generation, whose search state the run resumes from; nil before the first.
    public let generation: GenerationRecord?
    /// Candidates of that generation in the order of the ask.
    public let candidates: [CandidateRecord]
    /// Tasks of that generation, and the open ones of earlier generations and of benchmarks.
    public let tasks: [TaskRecord]
    /// Leases that have not ended, whether or not their workers are still alive.
    public let openLeases: [LeaseRecord]
}

/// A cost table to insert.
public struct NewCostTable: Sendable {
    /// Worker that measured it; nil for a table named by the configuration.
    public var workerID: Int64?
    /// Seconds by phase and component, as JSON.
    public var costs: String
    /// Seconds of the uncached reference for all images of a batch.
    public var uncachedSeconds: Double?
    /// Median absolute relative error of the fit.
    public var fitError: Double?

    /// A table; `costs` is JSON, `fitError` a fraction.
    public init(workerID: Int64?, costs: String, uncachedSeconds: Double? = nil, fitError: Double? = nil) {
        self.workerID = workerID
        self.costs = costs
        self.uncachedSeconds = uncachedSeconds
        self.fitError = fitError
    }
}

/// What reuse changes in an image, measured before the search.
public struct MeasuredReuseErrors: Hashable, Sendable {
    /// The image.
    public let image: ImageKey
    /// In the order of `ReuseErrors.values`.
    public let values: [Float]
    /// Worker that measured them.
    public let workerID: Int64
    /// Duration on that worker.
    public let seconds: Double
    /// Number of uncached images whose denoising takes as long.
    public let imageEquivalents: Double

    /// A measurement.
    public init(image: ImageKey, values: [Float], workerID: Int64, seconds: Double, imageEquivalents: Double) {
        self.image = image
        self.values = values
        self.workerID = workerID
        self.seconds = seconds
        self.imageEquivalents = imageEquivalents
    }
}

/// A stored cost table.
public struct CostTableRecord: Hashable, Sendable {
    /// Row id.
    public let id: Int64
    /// Worker that measured it; nil for a table named by the configuration.
    public let workerID: Int64?
    /// Seconds by phase and component, as JSON.
    public let costs: String
    /// Whether the run's modelled costs are computed from it; true for exactly one table of a run.
    public let isObjective: Bool
}

extension CostTableRecord {
    init(_ row: Row) {
        id = row["id"]
        workerID = row["worker_id"]
        costs = row["costs"]
        isObjective = row["is_objective"]
    }
}
