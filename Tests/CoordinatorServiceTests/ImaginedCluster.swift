import Foundation
import History
import Messages
import TestSupport
import Transport

@testable import CoordinatorService

/// A coordinator with workers that exist only as messages.
final class ImaginedCluster {
    let clock = VirtualClock()
    let calibration: Calibration
    let coordinator: Coordinator
    private(set) var logCount: Int
    private let folder: TemporaryFolder
    private let lines: LineCount

    private final class LineCount {
        var value = 0
    }

    init(recheckShare: Double = 0, mode: String = "generations") throws {
        folder = try TemporaryFolder()
        _ = try folder.write("a red cube\nA green ball on a table\nsome words\n", to: "prompts.txt")
        let configuration = try RunConfiguration.small(
            in: folder, mode: mode, population: 6, generations: 2,
            more: """
                images = 2
                schedules = 3
                recheck_share = \(recheckShare)
                [objectives]
                cost = "macs"
                """)
        calibration = try Calibration.begin(configuration, in: folder.file("run"))
        let (clock, lines) = (clock, LineCount())
        self.lines = lines
        coordinator = try Coordinator(
            served: calibration, settings: Coordinator.Settings(engineVersion: "test"), clock: { clock.now },
            log: { _ in lines.value += 1 })
        logCount = 0
    }

    /// What the coordinator says to a message of a worker.
    @discardableResult
    func say(_ body: WorkerMessage.Body, by name: String, peer: PeerID? = nil) throws -> [CoordinatorMessage.Body] {
        let peer = peer ?? PeerID(bytes: Array(name.utf8))
        try calibration.history.grouped {
            try coordinator.handle(body, from: peer)
            try coordinator.tick()
        }
        logCount = lines.value
        return coordinator.takeOutbox().filter { $0.peer == peer }.map(\.body)
    }

    func tick() throws {
        try calibration.history.grouped { try coordinator.tick() }
        _ = coordinator.takeOutbox()
        logCount = lines.value
    }

    @discardableResult
    func register(
        _ name: String, peer: PeerID? = nil, _ change: (inout Registration) -> Void = { _ in }
    ) throws -> [CoordinatorMessage.Body] {
        var registration = Registration()
        registration.workerName = name
        registration.engineVersion = "test"
        registration.modelHash = calibration.modelHash
        change(&registration)
        return try say(.registration(registration), by: name, peer: peer)
    }

    @discardableResult
    func join(_ name: String, canary values: [Float] = [1, 2, 3]) throws -> [CoordinatorMessage.Body] {
        let answers = try register(name)
        guard case .welcome = answers.last else { return answers }
        var canary = Canary()
        canary.values = values
        return try say(.canary(canary), by: name)
    }

    /// Asks for a task.
    func request(_ name: String) throws -> Assignment? {
        for case .assignment(let assignment) in try say(.taskRequest(TaskRequest()), by: name) { return assignment }
        return nil
    }

    func joinAndRequest(_ name: String, until isWanted: (Assignment) -> Bool = { _ in true }) throws -> Assignment {
        try join(name)
        for _ in 0..<50 {
            guard let task = try request(name) else { break }
            if isWanted(task) { return task }
            _ = try deliver(task, by: name)
        }
        throw CoordinatorError.searchFailed("no such task was given out")
    }

    /// Delivers a result; tells whether it was accepted.
    func deliver(_ assignment: Assignment, by name: String, score: Double = 30) throws -> [Bool] {
        let result = Messages.TaskResult(of: assignment, seconds: 1) { _, image in
            image.scores = ["psnr": score]
            image.denoiseSeconds = 0.5
            image.referenceSeconds = 1
        }
        return try say(.taskResult(result), by: name).compactMap {
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
        try say(.taskFailure(failure), by: name)
    }

    func integer(_ sql: String) throws -> Int64 {
        guard case .integer(let value) = try calibration.history.query(sql).rows.first?.first else { return -1 }
        return value
    }
}

extension RunConfiguration {
    // A run of the smallest model on the prompts in `prompts.txt`; more lines begin with those of the table `tasks`.
    static func small(
        in folder: TemporaryFolder, mode: String, population: Int, generations: Int, more: String
    ) throws -> RunConfiguration {
        try RunConfiguration(
            text: """
                [model]
                path = "\(Fixtures.folder)/alpha-micro/model"
                steps = 5
                height = 16
                width = 16
                [prompts]
                calibration = "prompts.txt"
                [search]
                mode = "\(mode)"
                population = \(population)
                generations = \(generations)
                seeding = ["fora", "random"]
                [tasks]
                \(more)
                """, file: "test", folder: folder.file("."))
    }
}
