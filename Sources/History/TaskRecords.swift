/// Names one image of an evaluation set: which prompt, which seed.
public struct ImageKey: Hashable, Sendable {
    /// The prompt's index in its evaluation set.
    public let prompt: Int
    /// The noise's seed.
    public let seed: Int64

    /// Names an image.
    ///
    /// - Parameters:
    ///   - prompt: The prompt's index in its evaluation set.
    ///   - seed: The noise's seed.
    public init(prompt: Int, seed: Int64) {
        self.prompt = prompt
        self.seed = seed
    }
}

/// What a worker does with a task's images.
public enum TaskKind: String, Sendable, CaseIterable {
    /// Generates, times and scores them.
    case evaluate
    /// Generates them to be looked at.
    case render
}

/// Where a task stands.
public enum TaskState: String, Sendable, CaseIterable {
    /// Waits for a worker.
    case pending
    /// At least one worker has it.
    case leased
    /// Its result is committed.
    case done
    /// Given up.
    case failed
}

/// A task about to be entered in the history.
public struct NewTask: Sendable {
    /// What is to be done.
    public var kind: TaskKind
    /// Places of its candidates among the candidates entered with it.
    public var candidates: [Int]
    /// The images to make with each candidate.
    public var images: [ImageKey]
    /// Whatever else the coordinator needs to send the task.
    public var payload: [UInt8]?

    /// Describes a task.
    ///
    /// - Parameters:
    ///   - kind: What is to be done.
    ///   - candidates: Places of its candidates among the candidates entered with it.
    ///   - images: The images to make with each candidate; not empty.
    ///   - payload: Whatever else the coordinator needs to send the task.
    public init(kind: TaskKind = .evaluate, candidates: [Int], images: [ImageKey], payload: [UInt8]? = nil) {
        self.kind = kind
        self.candidates = candidates
        self.images = images
        self.payload = payload
    }
}

/// A task as the history holds it.
public struct TaskRecord: Hashable, Sendable {
    /// The row's identity.
    public let id: Int64
    /// The run it belongs to.
    public let runID: Int64
    /// The generation it serves; `nil` for a benchmark.
    public let generation: Int?
    /// The evaluation set that the images' prompts are of.
    public let evaluationSet: String
    /// What is to be done.
    public let kind: TaskKind
    /// Where it stands.
    public let state: TaskState
    /// Its candidates, lowest first.
    public let candidateIDs: [Int64]
    /// The images to make with each candidate.
    public let images: [ImageKey]
    /// Whatever else the coordinator needs to send the task.
    public let payload: [UInt8]?
    /// Leases given so far.
    public let attempts: Int
    /// Attempts that failed by the task's own fault, as opposed to a lost worker.
    public let failures: Int
}

/// The identities of what one call entered, each in the order given.
public struct EnteredWork: Hashable, Sendable {
    /// The candidates.
    public let candidateIDs: [Int64]
    /// The tasks.
    public let taskIDs: [Int64]
}

/// Names a lease: a task, and which of its leases.
public struct LeaseKey: Hashable, Sendable {
    /// The task.
    public let taskID: Int64
    /// 1 for the task's first lease.
    public let epoch: Int

    /// Names a lease.
    ///
    /// - Parameters:
    ///   - taskID: The task.
    ///   - epoch: 1 for the task's first lease.
    public init(taskID: Int64, epoch: Int) {
        self.taskID = taskID
        self.epoch = epoch
    }
}

/// A lease that has not ended.
public struct LeaseRecord: Hashable, Sendable {
    /// The task, and which of its leases.
    public let key: LeaseKey
    /// The worker that has the task.
    public let workerID: Int64
    /// Unix seconds.
    public let leasedAt: Double
    /// Unix seconds.
    public let expiresAt: Double
}

/// How a lease ended without a result.
public enum LeaseOutcome: String, Sendable, CaseIterable {
    /// The worker reported an error; counts as the task's and the worker's failure.
    case failed
    /// No sign of life in time.
    case expired
    /// The worker left or was declared dead.
    case lost
    /// The worker handed the task back.
    case returned
}

/// Where a task stands after one of its leases ended.
public struct TaskStanding: Hashable, Sendable {
    /// `pending` when no other worker has it.
    public let state: TaskState
    /// Leases given so far.
    public let attempts: Int
    /// Attempts that failed by the task's own fault.
    public let failures: Int
}
