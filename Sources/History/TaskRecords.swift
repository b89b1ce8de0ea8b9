import Foundation
import GRDB

/// Identifies an image of an evaluation set.
public struct ImageKey: Hashable, Sendable {
    /// Index of the prompt in its evaluation set, from 0.
    public let prompt: Int
    /// Seed of the initial noise.
    public let seed: Int64

    /// An image; `prompt` is the prompt's index in its evaluation set.
    public init(prompt: Int, seed: Int64) {
        self.prompt = prompt
        self.seed = seed
    }
}

/// What a worker does with a task's images.
public enum TaskKind: String, Sendable, CaseIterable {
    /// Generates, times and scores them.
    case evaluate
    /// Generates them for display.
    case render
}

/// State of a task.
public enum TaskState: String, Sendable, CaseIterable {
    /// Waiting for a worker.
    case pending
    /// Leased to at least one worker.
    case leased
    /// Its result is committed.
    case done
    /// Given up without a result.
    case failed
}

/// A task to insert.
public struct NewTask: Sendable {
    /// What the worker does.
    public var kind: TaskKind
    /// Indices into the candidates that are inserted with the task.
    public var candidates: [Int]
    /// Images to generate with each candidate.
    public var images: [ImageKey]

    /// A task; `candidates` are indices into the candidates inserted with it, `images` must not be empty.
    public init(kind: TaskKind = .evaluate, candidates: [Int], images: [ImageKey]) {
        self.kind = kind
        self.candidates = candidates
        self.images = images
    }
}

/// A stored task.
public struct TaskRecord: Hashable, Sendable {
    /// Row id.
    public let id: Int64
    /// Run of the task.
    public let runID: Int64
    /// Generation it evaluates; nil for a benchmark.
    public let generation: Int?
    /// Evaluation set of the images' prompts.
    public let evaluationSet: String
    /// What the worker does.
    public let kind: TaskKind
    /// State of the task.
    public let state: TaskState
    /// Row ids of its candidates, ascending.
    public let candidateIDs: [Int64]
    /// Images to generate with each candidate.
    public let images: [ImageKey]
    /// Epoch of the latest lease; 0 before the first.
    public let attempts: Int
    /// Number of attempts that failed because of the task, as opposed to a lost worker.
    public let failures: Int
}

extension TaskRecord {
    init(_ row: Row, candidateIDs: [Int64]) throws {
        id = row["id"]
        runID = row["run_id"]
        generation = row["generation"]
        evaluationSet = row["evaluation_set"]
        kind = try row.value("kind", of: "tasks")
        state = try row.value("state", of: "tasks")
        self.candidateIDs = candidateIDs
        images = try ImageKey.decode(row["shard"], row: row["id"])
        attempts = row["attempts"]
        failures = row["failures"]
    }
}

/// Identifies a lease.
public struct LeaseKey: Hashable, Sendable {
    /// Row id of the task.
    public let taskID: Int64
    /// Increases from lease to lease of a task, from 1.
    public let epoch: Int

    /// A lease; `epoch` increases from lease to lease of a task, from 1.
    public init(taskID: Int64, epoch: Int) {
        self.taskID = taskID
        self.epoch = epoch
    }
}

/// A stored lease.
public struct LeaseRecord: Hashable, Sendable {
    /// Task and epoch.
    public let key: LeaseKey
    /// Worker that holds or held the lease.
    public let workerID: Int64
    /// Unix seconds.
    public let expiresAt: Double
    /// How the lease ended; nil while it is active.
    public let outcome: LeaseOutcome?
}

extension LeaseRecord {
    init(_ row: Row) throws {
        key = LeaseKey(taskID: row["task_id"], epoch: row["epoch"])
        workerID = row["worker_id"]
        expiresAt = row["expires_at"]
        let isActive = row["ended_at"] == nil
        outcome = isActive ? nil : try row.value("outcome", of: "leases")
    }
}

/// How a lease ended.
public enum LeaseOutcome: String, Sendable, CaseIterable {
    /// The worker's result was committed.
    case done
    /// The task was completed by another worker, or given up.
    case superseded
    /// The worker reported an error, or crashed; counts as a failure of the task.
    case failed
    /// The worker sent no message in time.
    case expired
    /// The worker disconnected or was declared dead.
    case lost
    /// The worker gave the task back.
    case returned
}

// MARK: - Stored values

extension ImageKey {
    /// Encodes images for the column `tasks.shard`: `[[prompt index, seed], ...]`.
    static func encode(_ keys: [ImageKey]) -> String {
        "[" + keys.map { "[\($0.prompt),\($0.seed)]" }.joined(separator: ",") + "]"
    }

    static func decode(_ json: String, row: Int64) throws -> [ImageKey] {
        let pairs = try? JSONDecoder().decode([[Int64]].self, from: Data(json.utf8))
        guard let pairs, pairs.allSatisfy({ $0.count == 2 }) else {
            throw CorruptValue(
                table: "tasks", row: row, column: "shard", found: json, expected: "[[prompt, seed], ...]")
        }
        return pairs.map { ImageKey(prompt: Int($0[0]), seed: $0[1]) }
    }
}

extension Row {
    /// Decodes a column that stores the raw value of an enum; throws `CorruptValue` for any other text.
    func value<Value: RawRepresentable<String> & CaseIterable>(_ column: String, of table: String) throws -> Value {
        let text: String = self[column]
        guard let value = Value(rawValue: text) else {
            throw CorruptValue(
                table: table, row: self["id"], column: column, found: text,
                expected: Value.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return value
    }
}
