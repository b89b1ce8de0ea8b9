import Transport

/// What a worker is started with.
public struct WorkerOptions: Sendable {
    /// Where the coordinator listens.
    public var coordinator: Endpoint
    /// The key to join with, if any.
    public var security: WorkerSecurity
    /// The model directory.
    public var model: String
    /// Folders of scorers' models, beside those that lie beside the model.
    public var scorers: [String]
    /// What the worker is called in reports, unless its key says so.
    public var name: String
    /// Threads of the matrix products.
    public var threads: Int
    /// The folder of results that are not acknowledged yet.
    public var spool: String
    /// Seconds that a task may still take when the worker is asked to end; beyond them it is handed back.
    public var graceSeconds: Double
    /// When the batch system ends the worker; nil if nothing does.
    public var walltime: WalltimeLimit?
    /// True if the worker ends with the process that started it.
    public var exitsWithParent: Bool
    /// True to tell the log of every result and what became of it.
    public var isVerbose: Bool
    /// The release of the program, for the history.
    public var engineVersion: String

    /// Options of a worker.
    public init(
        coordinator: Endpoint, security: WorkerSecurity, model: String, scorers: [String], name: String, threads: Int,
        spool: String,
        graceSeconds: Double, walltime: WalltimeLimit?, exitsWithParent: Bool, isVerbose: Bool = false,
        engineVersion: String
    ) {
        self.coordinator = coordinator
        self.security = security
        self.model = model
        self.scorers = scorers
        self.name = name
        self.threads = threads
        self.spool = spool
        self.graceSeconds = graceSeconds
        self.walltime = walltime
        self.exitsWithParent = exitsWithParent
        self.isVerbose = isVerbose
        self.engineVersion = engineVersion
    }
}
