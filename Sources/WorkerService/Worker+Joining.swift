import Evaluations
import Foundation
import Messages
import Models
import Tensors
import Transport

// Joining a run: registration, the prompts' embeddings, the model.
extension Worker {
    func register(_ socket: inout WorkerSocket) throws {
        var registration = Registration()
        registration.sessionID = Data(sessionID.bytes)
        registration.engineVersion = options.engineVersion
        registration.workerName = options.name
        registration.host = ProcessInfo.processInfo.hostName
        registration.cpu = CPU.modelName
        registration.blas = "\(BLAS.version) \(BLAS.coreName)"
        registration.threads = UInt32(options.threads)
        registration.modelHash = modelHash
        registration.imageModelHash = imageModelHash
        registration.scorerHashes = scorers.fingerprints
        if let walltime = options.walltime { registration.walltimeLeftSeconds = walltime.secondsLeft }
        try send(.registration(registration), &socket)
        // No answer: the coordinator is not there yet, or lost the message with its last life. Some chance keeps a
        // thousand workers from asking all at once.
        nextRegistration = ContinuousClock.now + registrationPause * Double.random(in: 0.75...1.25)
        registrationPause = min(registrationPause * 2, Self.longestPause)
    }

    func join(_ welcome: Welcome, _ socket: inout WorkerSocket) throws {
        let own = welcome.hasEmbeddings ? imageModelHash : modelHash
        guard welcome.settings.modelHash == own else {
            throw WorkerError.model(
                "\(options.model): this is not the run's model (its fingerprint is \(own.prefix(12)), the run's "
                    + "\(welcome.settings.modelHash.prefix(12)))")
        }
        registrationPause = Self.shortestPause
        nextHeartbeat = ContinuousClock.now
        let isSameRun = self.welcome == welcome
        if !isSameRun {
            (canary, costReport) = (nil, nil)
            unacknowledged = spool.results(of: welcome.runID)
            try reportCrash(in: welcome.runID, &socket)
        }
        // Before the results: the coordinator models their costs by it.
        if let costReport { try send(.costReport(costReport), &socket) }
        self.welcome = welcome
        for bytes in unacknowledged.values { _ = try socket.send(bytes) }
        if isSameRun {
            if download != nil {
                stage = .fetching
                return try requestBlob(&socket)
            }
            guard let canary, costReport != nil || !welcome.hasCostImageCount else {
                // The engine is not ready yet.
                if let canary { try send(.canary(canary), &socket) }
                return stage = .opening
            }
            // The coordinator came back. The result of the task at hand, if there is one, is welcome still.
            try send(.canary(canary), &socket)
            if task != nil { stage = .working } else { try requestTask(&socket) }
            return
        }
        log("joined run \(welcome.runID): opening \(options.model)")
        try open(welcome, embeddings: nil, &socket)
    }

    /// Has the engine open the model, once the prompts' embeddings are here if the run ships them.
    func open(_ welcome: Welcome, embeddings: String?, _ socket: inout WorkerSocket) throws {
        download?.discard()
        download = nil
        if welcome.hasEmbeddings, embeddings == nil {
            download = try BlobDownload(welcome.embeddings)
            stage = .fetching
            return try requestBlob(&socket)
        }
        stage = .opening
        engine.submit(.open(folder, try EvaluationSettings(welcome, scorers: scorers), embeddings: embeddings))
    }

    func take(_ chunk: BlobChunk, _ socket: inout WorkerSocket) throws {
        guard stage == .fetching, let welcome, let progress = try download?.take(chunk) else { return }
        switch progress {
        case .nothing: break
        case .wantsMore: try requestBlob(&socket)
        case .finished(let path):
            download = nil
            try open(welcome, embeddings: path, &socket)
        }
    }

    func requestBlob(_ socket: inout WorkerSocket) throws {
        guard let download else { return }
        // As for tasks: the answer may have been lost with a coordinator.
        nextRequest = ContinuousClock.now + .seconds(5)
        try send(.blobRequest(download.request), &socket)
    }
}
