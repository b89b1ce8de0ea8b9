/// The reasons a worker cannot join or continue.
public enum WorkerError: Error, Equatable, CustomStringConvertible {
    /// The coordinator refused the worker.
    case refused(String)
    /// A message from the coordinator is invalid.
    case protocolError(String)
    /// The model cannot be opened or is not the run's.
    case model(String)
    /// The costs of the model's components cannot be measured.
    case costMeasurement(String)
    /// The spool cannot be used.
    case spool(path: String, reason: String)
    /// The prompt embeddings cannot be fetched.
    case embeddings(String)
    /// The coordinator has been out of reach for too long.
    case noContact(String)
    /// The parent process has exited.
    case parentExited

    /// One line.
    public var description: String {
        switch self {
        case .refused(let reason): "the coordinator refused this worker: \(reason)"
        case .protocolError(let reason): "invalid message from the coordinator: \(reason)"
        case .model(let reason), .embeddings(let reason), .noContact(let reason): reason
        case .costMeasurement(let reason): "cannot measure the costs of the model's components: \(reason)"
        case .spool(let path, let reason): "\(path): cannot store results: \(reason)"
        case .parentExited: "the parent process has exited"
        }
    }
}
