import GRDB

/// The score of one image.
public struct ImageScore: Hashable, Sendable {
    /// Candidate that generated the image.
    public let candidateID: Int64
    /// Prompt and seed of the image.
    public let image: ImageKey
    /// Name of the scorer.
    public let scorer: String
    /// Higher is better.
    public let value: Double

    /// A score; `value` must be finite, and higher is better.
    public init(candidateID: Int64, image: ImageKey, scorer: String, value: Double) {
        self.candidateID = candidateID
        self.image = image
        self.scorer = scorer
        self.value = value
    }
}

/// The timing of one image.
public struct ImageTiming: Hashable, Sendable {
    /// Candidate that generated the image.
    public let candidateID: Int64
    /// Prompt and seed of the image.
    public let image: ImageKey
    /// Seconds to denoise the image.
    public let denoiseSeconds: Double
    /// Seconds to denoise it without a cache on the same worker; nil if not measured.
    public let referenceSeconds: Double?
    /// Seconds to decode the latents.
    public let decodeSeconds: Double

    /// A timing; all seconds must be finite and not negative.
    public init(
        candidateID: Int64, image: ImageKey, denoiseSeconds: Double, referenceSeconds: Double?, decodeSeconds: Double
    ) {
        self.candidateID = candidateID
        self.image = image
        self.denoiseSeconds = denoiseSeconds
        self.referenceSeconds = referenceSeconds
        self.decodeSeconds = decodeSeconds
    }
}

/// A worker's result of one task.
public struct TaskResult: Sendable {
    /// Row id of the task.
    public var taskID: Int64
    /// Worker that computed it.
    public var workerID: Int64
    /// Scores of the task's images.
    public var scores: [ImageScore]
    /// Timings of the task's images.
    public var timings: [ImageTiming]
    /// Seconds the worker spent on the task.
    public var seconds: Double
    /// Images of the task's candidates and of the uncached model, to be stored with the result.
    public var thumbnails: [Thumbnail] = []

    /// A result; `seconds` is the worker's time from start to result.
    public init(taskID: Int64, workerID: Int64, scores: [ImageScore], timings: [ImageTiming], seconds: Double) {
        self.taskID = taskID
        self.workerID = workerID
        self.scores = scores
        self.timings = timings
        self.seconds = seconds
    }
}

/// Whether a result was stored.
public enum CommitOutcome: Hashable, Sendable {
    /// The result is on disk.
    case committed
    /// Nothing changed: the task already has a result, this one or another worker's.
    case alreadyDone
    /// Nothing changed: the task was given up.
    case taskFailed
}

/// The measurements of a candidate on one evaluation set, in an order that makes sums reproducible.
public struct CandidateMeasurements: Hashable, Sendable {
    /// Ordered by scorer, prompt and seed.
    public let scores: [ImageScore]
    /// Ordered by prompt, seed and task.
    public let timings: [ImageTiming]
}

/// The comparison of a task's result with that of a second worker.
public struct RecheckRecord: Hashable, Sendable {
    /// Row id of the task.
    public var taskID: Int64
    /// Worker that computed the task again.
    public var workerID: Int64
    /// Worker whose result is stored.
    public var checkedWorkerID: Int64
    /// Whether the two results agree within the tolerance.
    public var agrees: Bool
    /// Largest absolute difference of two scores.
    public var largestDifference: Double

    /// A comparison; `checkedWorkerID` is the worker whose result is stored.
    public init(taskID: Int64, workerID: Int64, checkedWorkerID: Int64, agrees: Bool, largestDifference: Double) {
        self.taskID = taskID
        self.workerID = workerID
        self.checkedWorkerID = checkedWorkerID
        self.agrees = agrees
        self.largestDifference = largestDifference
    }
}

extension RecheckRecord {
    init(_ row: Row) {
        self.init(
            taskID: row["task_id"], workerID: row["worker_id"], checkedWorkerID: row["checked_worker_id"],
            agrees: row["agrees"], largestDifference: row["largest_difference"])
    }
}

/// A reduced image for display.
public struct Thumbnail: Hashable, Sendable {
    /// Candidate that generated the image; nil for the uncached reference.
    public let candidateID: Int64?
    /// Prompt and seed of the image.
    public let image: ImageKey
    /// Content of a PNG file.
    public let png: [UInt8]

    /// An image; `candidateID` is nil for the uncached one.
    public init(candidateID: Int64?, image: ImageKey, png: [UInt8]) {
        self.candidateID = candidateID
        self.image = image
        self.png = png
    }
}
