import Foundation
import History
import Logging
import Messages
import Synchronization
import TestSupport
import Transport

@testable import CoordinatorService

/// A coordinator without sockets, and workers that are played by the test.
final class FakeCluster {
    let clock = VirtualClock()
    let calibration: Calibration
    let coordinator: Coordinator
    let folder: TemporaryFolder
    private let lines = LineCount()

    /// Log lines so far.
    var logCount: Int { lines.value.load(ordering: .relaxed) }

    init(
        recheckShare: Double = 0, mode: String = "generations", engine: String = "native",
        precision: String = "float32", cost: String = "macs", preset: String = "nsga2", expectedWorkers: Int? = nil
    ) throws {
        folder = try TemporaryFolder()
        let configuration = try RunConfiguration.small(
            in: folder.file("."), mode: mode, population: 6, generations: 2, engine: engine, precision: precision,
            preset: preset,
            more: """
                images = 2
                schedules = 3
                recheck_share = \(recheckShare)
                [objectives]
                cost = "\(cost)"
                """)
        calibration = try Calibration.create(configuration, in: folder.file("run"))
        coordinator = try Self.coordinator(calibration, clock, lines, expectedWorkers)
    }

    /// Takes over the run of a cluster whose coordinator has ended.
    init(resuming other: FakeCluster) throws {
        folder = other.folder
        try other.calibration.history.close()
        calibration = try Calibration.resume(in: folder.file("run"))
        coordinator = try Self.coordinator(calibration, clock, lines)
    }

    private static func coordinator(
        _ calibration: Calibration, _ clock: VirtualClock, _ lines: LineCount, _ expectedWorkers: Int? = nil
    ) throws -> Coordinator {
        try Coordinator(
            run: calibration, settings: Coordinator.Settings(engineVersion: "test", expectedWorkers: expectedWorkers),
            clock: { clock.now },
            logger: Logger(label: "test") { _ in lines })
    }

    /// Sends a worker's message; returns the coordinator's answers to it.
    @discardableResult
    func send(_ body: WorkerMessage.Body, by name: String, peer: PeerID? = nil) throws -> [CoordinatorMessage.Body] {
        let peer = peer ?? PeerID(bytes: Array(name.utf8))
        try calibration.history.transaction {
            try coordinator.handle(body, from: peer)
            try coordinator.tick()
        }
        return coordinator.takeOutbox().filter { $0.peer == peer }.map(\.body)
    }

    func tick() throws {
        try calibration.history.transaction { try coordinator.tick() }
        _ = coordinator.takeOutbox()
    }

    @discardableResult
    func register(
        _ name: String, peer: PeerID? = nil, _ change: (inout Registration) -> Void = { _ in }
    ) throws -> [CoordinatorMessage.Body] {
        var registration = Registration()
        registration.workerName = name
        registration.engineVersion = "test"
        registration.modelHash = calibration.context.modelHash
        change(&registration)
        return try send(.registration(registration), by: name, peer: peer)
    }

    @discardableResult
    func join(_ name: String, canary values: [Float] = [1, 2, 3]) throws -> [CoordinatorMessage.Body] {
        let answers = try register(name)
        guard case .welcome = answers.last else { return answers }
        var canary = Canary()
        canary.values = values
        return try send(.canary(canary), by: name)
    }

    /// Requests a task; nil if none is assigned.
    func request(_ name: String) throws -> Assignment? {
        for case .assignment(let assignment) in try send(.taskRequest(TaskRequest()), by: name) { return assignment }
        return nil
    }

    func joinAndRequest(_ name: String, until isSuitable: (Assignment) -> Bool = { _ in true }) throws -> Assignment {
        try join(name)
        for _ in 0..<50 {
            guard let task = try request(name) else { break }
            if isSuitable(task) { return task }
            _ = try deliver(task, by: name)
        }
        throw CoordinatorError.searchFailed("no such task was assigned")
    }

    /// Delivers a result; returns whether each acknowledgement accepted it.
    func deliver(_ assignment: Assignment, by name: String, score: Double = 30) throws -> [Bool] {
        let result = Messages.TaskResult(of: assignment, seconds: 1) { _, image in
            image.scores = ["psnr": score]
            image.denoiseSeconds = 0.5
            image.referenceSeconds = 1
        }
        return try send(.taskResult(result), by: name).compactMap {
            guard case .acknowledgement(let acknowledgement) = $0 else { return nil }
            return acknowledgement.accepted
        }
    }

    func fail(_ assignment: Assignment, candidate: Int64?, by name: String) throws {
        var failure = TaskFailure()
        failure.taskID = assignment.taskID
        failure.leaseEpoch = assignment.leaseEpoch
        if let candidate { failure.candidateID = candidate }
        failure.reason = "the image is not finite"
        try send(.taskFailure(failure), by: name)
    }

    func integer(_ sql: String) throws -> Int64 {
        guard case .integer(let value) = try calibration.history.query(sql).rows.first?.first else { return -1 }
        return value
    }

    func text(_ sql: String) throws -> String? {
        guard case .text(let value) = try calibration.history.query(sql).rows.first?.first else { return nil }
        return value
    }
}

/// Counts log lines.
private final class LineCount: LogHandler {
    let value = Atomic(0)

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }

    var logLevel: Logger.Level {
        get { .info }
        set {}
    }

    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) { value.add(1, ordering: .relaxed) }
}

extension RunConfiguration {
    /// A run of the smallest model on three prompts, by multiply-adds; `more` begins with keys of the table `tasks`.
    static func small(
        in folder: String, mode: String = "generations", population: Int, generations: Int,
        engine: String = "native", precision: String = "float32", preset: String = "nsga2", more: String,
        overrides: [String] = []
    ) throws -> RunConfiguration {
        try "a red cube\nA green ball on a table\nsome words\n".write(
            toFile: "\(folder)/prompts.txt", atomically: false, encoding: .utf8)
        return try RunConfiguration(
            text: """
                [model]
                path = "\(Fixtures.folder)/alpha-micro/model"
                steps = 5
                engine = "\(engine)"
                precision = "\(precision)"
                height = 16
                width = 16
                [prompts]
                calibration = "prompts.txt"
                [search]
                mode = "\(mode)"
                population = \(population)
                generations = \(generations)
                preset = "\(preset)"
                seeding = \(preset == "default" ? #"["calibrated"]"# : #"["fora", "random"]"#)
                [tasks]
                \(more)
                """, file: "test", overrides: overrides, folder: folder)
    }
}
