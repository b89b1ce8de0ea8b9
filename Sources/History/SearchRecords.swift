import Foundation
import GRDB

/// A candidate to insert.
public struct NewCandidate: Sendable {
    /// Packed bits in the published gene order: gene g is bit g % 8 of byte g / 8, lowest bit first; 1 = recompute.
    public var genome: [UInt8]
    /// SHA-256 of the genome's ASCII '0'/'1' string, 64 hexadecimal digits.
    public var genomeSHA256: String
    /// Equal for genomes that generate the same images; unique among the searched candidates of a run.
    public var canonicalHash: String
    /// First parent.
    public var parentA: Int64?
    /// Second parent.
    public var parentB: Int64?
    /// Genetic operator; nil for the initial population.
    public var `operator`: String?
    /// Name of a heuristic, `random`, `offspring` or a file name.
    public var origin: String
    /// Multiply-accumulate operations to denoise one image.
    public var macs: Int64?
    /// First step without guidance of a TGATE schedule, counted from 0 and at least 1; only benchmarked schedules have one.
    public var gateStep: Int?
    /// A candidate of another run with equal images, whose scores and timings are copied to this one.
    public var measuredAs: Int64?
    /// Nil without an error model.
    public var prediction: CandidatePrediction?

    /// A candidate; `genome` must have one bit for each gene of the run, rounded up to whole bytes.
    public init(
        genome: [UInt8], genomeSHA256: String, canonicalHash: String, parentA: Int64? = nil, parentB: Int64? = nil,
        operator: String? = nil, origin: String, macs: Int64? = nil, gateStep: Int? = nil, measuredAs: Int64? = nil,
        prediction: CandidatePrediction? = nil
    ) {
        self.genome = genome
        self.genomeSHA256 = genomeSHA256
        self.canonicalHash = canonicalHash
        self.parentA = parentA
        self.parentB = parentB
        self.operator = `operator`
        self.origin = origin
        self.macs = macs
        self.gateStep = gateStep
        self.measuredAs = measuredAs
        self.prediction = prediction
    }
}

/// What the error model of a search predicted of a candidate when it was proposed.
public struct CandidatePrediction: Hashable, Sendable {
    /// Natural logarithm of the mean squared error of the images, up to a constant before the first results.
    public var logError: Double
    /// In the unit of the quality objective; nil before the first results.
    public var quality: Double?
    /// Standard deviation of the quality; nil before the first results.
    public var deviation: Double?

    /// A prediction; all numbers must be finite, the deviation not negative.
    public init(logError: Double, quality: Double? = nil, deviation: Double? = nil) {
        self.logError = logError
        self.quality = quality
        self.deviation = deviation
    }
}

/// Row ids of inserted candidates and tasks, in the order given.
public struct InsertedIDs: Hashable, Sendable {
    /// Row ids of the candidates.
    public let candidateIDs: [Int64]
    /// Row ids of the tasks.
    public let taskIDs: [Int64]
}

/// Aggregated measurements of a candidate on one evaluation set.
public struct EvaluationTotals: Hashable, Sendable {
    /// The run's cost objective, minimised.
    public var cost: Double
    /// The run's quality objective, maximised.
    public var quality: Double
    /// Measured seconds / uncached seconds.
    public var latencyRatio: Double?
    /// The same ratio, predicted by the cost table.
    public var modelledRatio: Double?
    /// Multiply-accumulate operations to denoise one image.
    public var macs: Int64?
    /// Number of images aggregated.
    public var images: Int
    /// Denoising seconds, summed over the images.
    public var denoiseSeconds: Double
    /// Denoising seconds of the uncached reference, summed over the images.
    public var referenceSeconds: Double

    /// Totals; all numbers must be finite, ratios positive and seconds not negative.
    public init(
        cost: Double, quality: Double, latencyRatio: Double? = nil, modelledRatio: Double? = nil, macs: Int64? = nil,
        images: Int, denoiseSeconds: Double, referenceSeconds: Double
    ) {
        self.cost = cost
        self.quality = quality
        self.latencyRatio = latencyRatio
        self.modelledRatio = modelledRatio
        self.macs = macs
        self.images = images
        self.denoiseSeconds = denoiseSeconds
        self.referenceSeconds = referenceSeconds
    }
}

/// A stored candidate.
public struct CandidateRecord: Hashable, Sendable {
    /// Row id; increases in the order in which the search proposed the candidates.
    public let id: Int64
    /// Run of the candidate.
    public let runID: Int64
    /// Generation that proposed it; nil for a schedule that was only benchmarked.
    public let generation: Int?
    /// Name of a benchmarked schedule.
    public let label: String?
    /// Packed bits, as in `NewCandidate`.
    public let genome: [UInt8]
    /// SHA-256 of the genome's ASCII '0'/'1' string.
    public let genomeSHA256: String
    /// Equal for genomes that generate the same images.
    public let canonicalHash: String
    /// First parent.
    public let parentA: Int64?
    /// Second parent.
    public let parentB: Int64?
    /// Genetic operator; nil for the initial population.
    public let `operator`: String?
    /// Name of a heuristic, `random`, `offspring` or a file name.
    public let origin: String
    /// Multiply-accumulate operations to denoise one image.
    public let macs: Int64?
    /// First step without guidance of a benchmarked TGATE schedule, counted from 0 and at least 1.
    public let gateStep: Int?
    /// What the error model predicted when the candidate was proposed; nil without one.
    public let prediction: CandidatePrediction?
    /// Totals on the calibration set; nil until the evaluation is complete.
    public let evaluation: EvaluationTotals?
}

extension CandidateRecord {
    init(_ row: Row) {
        let genome: Data = row["genome"]
        let cost: Double? = row["cost"]
        id = row["id"]
        runID = row["run_id"]
        generation = row["generation"]
        label = row["label"]
        self.genome = Array(genome)
        genomeSHA256 = row["genome_sha256"]
        canonicalHash = row["canonical_hash"]
        parentA = row["parent_a"]
        parentB = row["parent_b"]
        self.operator = row["operator"]
        origin = row["origin"]
        macs = row["macs"]
        gateStep = row["gate_step"]
        let logError: Double? = row["predicted_log_error"]
        prediction = logError.map {
            CandidatePrediction(
                logError: $0, quality: row["predicted_quality"], deviation: row["predicted_deviation"])
        }
        evaluation = cost.map {
            EvaluationTotals(
                cost: $0, quality: row["quality"], latencyRatio: row["latency_ratio"],
                modelledRatio: row["modelled_ratio"], macs: row["evaluation_macs"], images: row["images"],
                denoiseSeconds: row["denoise_seconds"], referenceSeconds: row["reference_seconds"])
        }
    }
}

/// A stored generation.
public struct GenerationRecord: Hashable, Sendable {
    /// Run of the generation.
    public let runID: Int64
    /// 0 for the first generation.
    public let number: Int
    /// Encoded search state: after the generation's ask, and after its tell once it is finished.
    public let searchState: [UInt8]
    /// Unix seconds.
    public let startedAt: Double
    /// Unix seconds; nil while candidates are being evaluated.
    public let finishedAt: Double?
    /// Hypervolume of the front when the generation finished.
    public let hypervolume: Double?
    /// Candidates of this generation whose evaluation was complete when it finished.
    public let evaluations: Int
    /// Seconds spent on this generation, without the time the coordinator was down.
    public let wallSeconds: Double

    /// Whether the search has received this generation's results.
    public var isFinished: Bool { finishedAt != nil }
}

extension GenerationRecord {
    init(_ row: Row) {
        let searchState: Data = row["search_state"]
        runID = row["run_id"]
        number = row["number"]
        self.searchState = Array(searchState)
        startedAt = row["started_at"]
        finishedAt = row["finished_at"]
        hypervolume = row["hypervolume"]
        evaluations = row["evaluations"]
        wallSeconds = row["wall_seconds"]
    }
}

/// A row of the view `pareto_front`.
public struct FrontRecord: Hashable, Sendable {
    /// Row id of the candidate.
    public let candidateID: Int64
    /// Generation that proposed it.
    public let generation: Int
    /// Uncached seconds / candidate seconds: modelled if the run's cost is the modelled latency, else measured.
    public let speedup: Double?
    /// Inverse of `speedup`.
    public let latencyRatio: Double?
    /// Measured seconds / uncached seconds.
    public let measuredRatio: Double?
    /// Multiply-accumulate operations to denoise one image.
    public let macs: Int64?
    /// The run's cost objective.
    public let cost: Double
    /// The run's quality objective.
    public let quality: Double
    /// Number of images that the objectives are computed from.
    public let images: Int
}

extension FrontRecord {
    init(_ row: Row) {
        candidateID = row["candidate_id"]
        generation = row["generation"]
        speedup = row["speedup"]
        latencyRatio = row["latency_ratio"]
        measuredRatio = row["measured_ratio"]
        macs = row["macs"]
        cost = row["cost"]
        quality = row["quality"]
        images = row["images"]
    }
}
