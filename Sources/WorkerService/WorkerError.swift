/// Why a worker cannot take part.
public enum WorkerError: Error, Equatable, CustomStringConvertible {
    /// The coordinator does not want this worker.
    case refused(String)
    /// The coordinator's messages cannot be understood.
    case protocolError(String)
    /// The model cannot be opened or does not fit the run.
    case model(String)
    /// The folder of unacknowledged results cannot be used.
    case spool(path: String, reason: String)
    /// The run's prompt embeddings cannot be fetched.
    case embeddings(String)
    /// The process that started this worker is gone.
    case parentGone

    /// One line that says what to do.
    public var description: String {
        switch self {
        case .refused(let reason): "the coordinator refused this worker: \(reason)"
        case .protocolError(let reason): "the coordinator's message cannot be understood: \(reason)"
        case .model(let reason), .embeddings(let reason): reason
        case .spool(let path, let reason): "\(path): cannot keep results there: \(reason)"
        case .parentGone: "the process that started this worker is gone"
        }
    }
}
