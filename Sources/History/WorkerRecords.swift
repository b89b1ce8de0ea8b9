/// What a worker says of itself when it joins.
public struct WorkerDescription: Hashable, Sendable {
    /// Its identity: the same name is the same worker.
    public var name: String
    /// Host name.
    public var host: String
    /// Processor model.
    public var cpu: String
    /// BLAS library, version and kernel.
    public var blas: String
    /// Threads it computes with.
    public var threads: Int
    /// Version of the engine.
    public var engineVersion: String

    /// Describes a worker.
    ///
    /// - Parameters:
    ///   - name: Its identity: the same name is the same worker.
    ///   - host: Host name.
    ///   - cpu: Processor model.
    ///   - blas: BLAS library, version and kernel.
    ///   - threads: Threads it computes with, at least 1.
    ///   - engineVersion: Version of the engine.
    public init(name: String, host: String, cpu: String, blas: String, threads: Int, engineVersion: String) {
        self.name = name
        self.host = host
        self.cpu = cpu
        self.blas = blas
        self.threads = threads
        self.engineVersion = engineVersion
    }
}

/// A worker as the history holds it.
public struct WorkerRecord: Hashable, Sendable {
    /// The row's identity.
    public let id: Int64
    /// What it said when it joined last.
    public let description: WorkerDescription
    /// Unix seconds.
    public let firstSeen: Double
    /// Unix seconds.
    public let lastSeen: Double
    /// Seconds connected, over all its sessions.
    public let connectedSeconds: Double
    /// Seconds at work on tasks whose result was taken.
    public let busySeconds: Double
    /// Attempts that failed.
    public let failures: Int
}

/// An entry of the run's log.
public struct EventRecord: Hashable, Sendable {
    /// Rises by at least one from event to event, never used twice.
    public let sequence: Int64
    /// The run, if the event belongs to one.
    public let runID: Int64?
    /// Unix seconds.
    public let at: Double
    /// A word to filter by.
    public let kind: String
    /// A sentence or JSON.
    public let text: String
}

/// A small picture of an image.
public struct Thumbnail: Hashable, Sendable {
    /// The candidate; `nil` for the uncached reference.
    public let candidateID: Int64?
    /// Which image.
    public let image: ImageKey
    /// A PNG file's bytes.
    public let png: [UInt8]
}
