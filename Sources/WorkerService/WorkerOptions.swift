import Foundation
import Transport

/// The configuration of a worker.
public struct WorkerOptions: Sendable {
    /// The coordinator's endpoint.
    public var coordinator: Endpoint
    /// The keys to connect with, if any.
    public var security: WorkerSecurity
    /// The model directory.
    public var model: String
    /// Directories of scorer models, in addition to those next to the model.
    public var scorers: [String]
    /// The name in reports; with a key, the coordinator uses the key's name.
    public var name: String
    /// Threads for matrix products.
    public var threads: Int
    /// The directory of unacknowledged results.
    public var spool: String
    /// The directory of uncached images' latents, for the next start; nil to keep none.
    public var references: String?
    /// Seconds that the current task may take after a request to end; beyond them it is returned.
    public var graceSeconds: Double
    /// When the batch system ends the worker; nil without such a limit.
    public var walltime: WalltimeLimit?
    /// Seconds without a message of the coordinator after which the worker gives up; nil to wait without limit.
    public var coordinatorTimeout: Double?
    /// Whether to exit with the parent process.
    public var exitsWithParent: Bool
    /// The release of the program.
    public var engineVersion: String

    /// Sets all options.
    public init(
        coordinator: Endpoint, security: WorkerSecurity, model: String, scorers: [String], name: String, threads: Int,
        spool: String, references: String?, graceSeconds: Double, walltime: WalltimeLimit?, coordinatorTimeout: Double?,
        exitsWithParent: Bool, engineVersion: String
    ) {
        self.coordinator = coordinator
        self.security = security
        self.model = model
        self.scorers = scorers
        self.name = name
        self.threads = threads
        self.spool = spool
        self.references = references
        self.graceSeconds = graceSeconds
        self.walltime = walltime
        self.coordinatorTimeout = coordinatorTimeout
        self.exitsWithParent = exitsWithParent
        self.engineVersion = engineVersion
    }
}

/// The time at which the batch system ends the process.
public struct WalltimeLimit: Sendable {
    private let end: Date

    /// Ends the given number of seconds from now.
    public init(seconds: Double) { end = Date(timeIntervalSinceNow: seconds) }

    /// Reads the end of the Slurm job; nil outside of Slurm.
    ///
    /// - Parameter environment: Contains `SLURM_JOB_END_TIME` in Unix seconds, set by Slurm 22.05 and later.
    public init?(environment: [String: String]) {
        guard let seconds = environment["SLURM_JOB_END_TIME"].flatMap({ Double($0) }), seconds > 0 else { return nil }
        end = Date(timeIntervalSince1970: seconds)
    }

    /// At least 0.
    var secondsLeft: Double { max(0, end.timeIntervalSinceNow) }
}
