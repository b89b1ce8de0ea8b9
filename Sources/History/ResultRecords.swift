/// What a scorer says of one image.
public struct ImageScore: Hashable, Sendable {
    /// The candidate that made the image.
    public let candidateID: Int64
    /// Which image.
    public let image: ImageKey
    /// The scorer's name.
    public let scorer: String
    /// The score; higher is better.
    public let value: Double

    /// Makes a score.
    ///
    /// - Parameters:
    ///   - candidateID: The candidate that made the image.
    ///   - image: Which image.
    ///   - scorer: The scorer's name.
    ///   - value: The score, finite; higher is better.
    public init(candidateID: Int64, image: ImageKey, scorer: String, value: Double) {
        self.candidateID = candidateID
        self.image = image
        self.scorer = scorer
        self.value = value
    }
}

/// How long one image took.
public struct ImageTiming: Hashable, Sendable {
    /// The candidate that made the image.
    public let candidateID: Int64
    /// Which image.
    public let image: ImageKey
    /// Denoising seconds.
    public let denoiseSeconds: Double
    /// Denoising seconds of the uncached reference on the same worker, where it was measured.
    public let referenceSeconds: Double?
    /// Seconds to decode the latents into an image.
    public let decodeSeconds: Double

    /// Makes a timing.
    ///
    /// - Parameters:
    ///   - candidateID: The candidate that made the image.
    ///   - image: Which image.
    ///   - denoiseSeconds: Denoising seconds.
    ///   - referenceSeconds: Denoising seconds of the uncached reference on the same worker.
    ///   - decodeSeconds: Seconds to decode the latents into an image.
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
    /// The task.
    public var taskID: Int64
    /// Who did it.
    public var workerID: Int64
    /// Scores of the task's images.
    public var scores: [ImageScore]
    /// Timings of the task's images.
    public var timings: [ImageTiming]
    /// The worker's seconds from start to result.
    public var seconds: Double

    /// Describes a result.
    ///
    /// - Parameters:
    ///   - taskID: The task.
    ///   - workerID: Who did it.
    ///   - scores: Scores of the task's images.
    ///   - timings: Timings of the task's images.
    ///   - seconds: The worker's seconds from start to result.
    public init(taskID: Int64, workerID: Int64, scores: [ImageScore], timings: [ImageTiming], seconds: Double) {
        self.taskID = taskID
        self.workerID = workerID
        self.scores = scores
        self.timings = timings
        self.seconds = seconds
    }
}

/// What became of a result.
public enum CommitOutcome: Hashable, Sendable {
    /// It is on disk; acknowledge it.
    case committed
    /// The task had its result (this one sent again, or another worker's); nothing changed, acknowledge it.
    case alreadyDone
    /// The task was given up; nothing changed, acknowledge it.
    case taskFailed
}

/// All that was measured of a candidate on one evaluation set, in an order that makes sums reproducible.
public struct CandidateMeasurements: Hashable, Sendable {
    /// Ordered by scorer, prompt, seed.
    public let scores: [ImageScore]
    /// Ordered by prompt, seed, task.
    public let timings: [ImageTiming]
}
