import Evolution
import Foundation
import History
import Logging
import Messages
import TestSupport
import Transport

@testable import CoordinatorService

/// A whole calibration in virtual time under faults that are drawn from a seed.
///
/// The coordinator, its calibration and its history are the real ones; workers and network are simulated. Messages are
/// lost, duplicated and reordered; the coordinator crashes before and after it commits and is resumed from its history;
/// workers crash, are slow, return malformed results, or compute wrongly; clocks jump. Everything follows from the seed,
/// so a run can be repeated exactly.
final class FaultSimulation {
    /// What can go wrong, as probabilities for a message or per second of virtual time.
    struct Faults {
        var loss = 0.0
        var duplication = 0.0
        /// Share of messages that are delayed by seconds and overtaken by others.
        var reordering = 0.0
        var coordinatorCrashes = 0.0
        var workerCrashes = 0.0
        var clockJumps = 0.0
        /// Share of results that lack an image or hold a score that is not finite.
        var malformedResults = 0.0
        /// Whether one worker returns wrong scores.
        ///
        /// It takes two other workers to find it, so those are not disturbed then.
        var hasFaultyWorker = false
        var workers = 1

        static let none = Faults()

        /// A mixture that differs from seed to seed.
        init(seed: UInt64) {
            var generator = RandomGenerator(seed: seed ^ 0x5EED)
            func share(_ limit: Double) -> Double { generator.unit() < 0.3 ? 0 : limit * generator.unit() }
            hasFaultyWorker = generator.unit() < 0.25
            workers = hasFaultyWorker ? 3 : 1 + Int(generator.unit() * 4)
            duplication = share(0.2)
            reordering = share(0.2)
            coordinatorCrashes = share(0.025)
            guard !hasFaultyWorker else { return }
            loss = share(0.2)
            workerCrashes = share(0.05)
            clockJumps = share(0.02)
            malformedResults = share(0.2)
        }

        private init() {}
    }

    /// What the search decided, and every score it was told.
    struct Decisions: Equatable {
        let lines: [String]
    }

    struct Report {
        let decisions: Decisions
        /// Acknowledged results that the history does not hold.
        let lostResults: [String]
        /// Images that the history holds twice.
        let duplicatedImages: Int
        /// A hash of every event, in order.
        let trace: UInt64
        let crashes: Int
        let messages: Int
        let quarantined: Int
        /// Evaluations of the uncached schedule outside of the search.
        let references: Int
        let virtualSeconds: Double
    }

    /// The run did not end.
    struct Stalled: Error, CustomStringConvertible {
        let description: String
    }

    private struct CoordinatorCrash: Error {}

    private enum Event {
        case toCoordinator([UInt8], PeerID)
        case toWorker(CoordinatorMessage.Body, Int, life: Int)
        case tick
        case resumeCoordinator
        case worker(Int, life: Int, SimulatedWorker.Timer)
        case startWorker(Int)
    }

    private static let virtualLimit = 50_000.0

    private let faults: Faults
    private let folder: String
    private var generator: RandomGenerator
    private var events = EventQueue<Event>()
    private var now = 0.0
    private var clockOffset = 0.0
    private var calibration: Calibration?
    private var coordinator: Coordinator?
    private var workers: [SimulatedWorker]
    private var model: SimulatedModel
    private var malformed: [Int64: Int] = [:]
    private var acknowledged: [(task: Int64, epoch: Int64)] = []
    private var trace: UInt64 = 0xCBF2_9CE4_8422_2325
    private var crashes = 0
    private var messages = 0
    private var isQuiet = false

    /// Prepares a run of the smallest model.
    ///
    /// - Parameters:
    ///   - seed: Decides on every fault.
    ///   - faults: What can go wrong.
    ///   - preset: Rules of the search.
    ///   - overrides: Assignments to keys of the configuration.
    ///   - folder: An empty folder of this machine.
    /// - Throws: As `Calibration.create`.
    init(
        seed: UInt64, faults: Faults, preset: String = "nsga2", overrides: [String] = [], folder: String
    ) throws {
        self.faults = faults
        self.folder = folder
        generator = RandomGenerator(seed: seed)
        let calibration = try Calibration.create(
            try RunConfiguration.small(
                in: folder, population: 4, generations: 3, preset: preset,
                more: """
                    images = 2
                    schedules = 2
                    recheck_share = \(faults.hasFaultyWorker ? 1 : 0.2)
                    [objectives]
                    cost = "macs"
                    """, overrides: overrides), in: "\(folder)/run", isDurable: false)
        self.calibration = calibration
        model = try SimulatedModel(calibration, secondsPerImage: 0.3)
        workers = (0..<faults.workers).map { index in
            SimulatedWorker(
                name: "worker-\(index)", modelHash: calibration.context.modelHash,
                scorerHashes: calibration.configuration.scorerFingerprints.values.sorted(),
                slowness: index % 3 == 2 ? 10 : 1,
                isFaulty: faults.hasFaultyWorker && index == 0)
        }
    }

    /// Runs until the calibration is complete.
    func run() throws -> Report {
        try startCoordinator()
        events.add(.tick, at: 0)
        for index in workers.indices { events.add(.startWorker(index), at: generator.unit() * 3) }
        while calibration?.isFinished != true {
            guard let (time, event) = events.pop(), time < Self.virtualLimit else {
                throw Stalled(
                    description: "not finished after \(Int(now)) virtual seconds and \(messages) messages; \(faults)")
            }
            now = time
            try handle(event)
        }
        guard let history = calibration?.history else { throw Stalled(description: "no history") }
        let report = Report(
            decisions: try Decisions(of: history), lostResults: try lostResults(in: history),
            duplicatedImages: try history.count(
                """
                SELECT count(*) FROM
                    (SELECT 1 FROM image_timings GROUP BY candidate_id, prompt_id, seed HAVING count(*) > 1)
                """),
            trace: trace, crashes: crashes, messages: messages,
            quarantined: try history.count("SELECT count(*) FROM workers WHERE quarantined_at IS NOT NULL"),
            references: try history.count(
                "SELECT count(*) FROM evaluations JOIN candidates c ON c.id = candidate_id WHERE c.label = 'uncached'"),
            virtualSeconds: now)
        try history.close()
        return report
    }

    // MARK: - Coordinator

    private func startCoordinator() throws {
        let calibration = try calibration ?? resume()
        let start = now
        self.calibration = calibration
        coordinator = try Coordinator(
            run: calibration, settings: Coordinator.Settings(engineVersion: SimulatedWorker.engineVersion),
            clock: { [unowned self] in now - start + clockOffset },
            logger: Logger(label: "coordinator") { _ in SwiftLogNoOpLogHandler() })
    }

    private func resume() throws -> Calibration {
        while true {
            do {
                return try Calibration.resume(in: "\(folder)/run")
            } catch HistoryError.locked {
                // A process that another test is starting holds a copy of the lock until it executes its program.
                Thread.sleep(forTimeInterval: 0.01)
            }
        }
    }

    /// Handles messages and time in one transaction, as ``CoordinatorLoop`` does; the coordinator may crash in between.
    private func transact(_ body: (Coordinator) throws -> Void) throws {
        guard let coordinator, let history = calibration?.history else { return }
        let crash = generator.unit() < faults.coordinatorCrashes ? generator.unit() : 1
        do {
            try history.transaction {
                try body(coordinator)
                if crash < 0.5 { throw CoordinatorCrash() }
            }
            let outgoing = coordinator.takeOutbox()
            if crash < 1 { throw CoordinatorCrash() }
            for message in outgoing { deliver(message) }
        } catch is CoordinatorCrash {
            crashes += 1
            record(crashes, "crash")
            try history.close()
            (self.coordinator, calibration) = (nil, nil)
            events.add(.resumeCoordinator, at: now + generator.unit() * 10)
        }
    }

    private func deliver(_ message: Coordinator.Outgoing) {
        if case .acknowledgement(let acknowledgement) = message.body, acknowledgement.accepted {
            acknowledged.append((acknowledgement.taskID, acknowledgement.leaseEpoch))
        }
        guard let index = workers.firstIndex(where: { $0.peer == message.peer }) else { return }
        transmit { .toWorker(message.body, index, life: self.workers[index].life) }
    }

    // MARK: - Network

    private func transmit(_ event: () -> Event) {
        messages += 1
        guard generator.unit() >= faults.loss else { return }
        repeat {
            // Without this fault messages arrive in order.
            let delay = generator.unit() < faults.reordering ? generator.unit() * 5 : 0.01
            events.add(event(), at: now + delay)
        } while generator.unit() < faults.duplication
    }

    // MARK: - Events

    private func handle(_ event: Event) throws {
        switch event {
        case .tick:
            events.add(.tick, at: now + 0.25)
            if generator.unit() < faults.clockJumps * 0.25 {
                clockOffset += generator.unit() * 4_000
                record(Int(clockOffset), "jump")
            }
            try transact { try $0.tick() }
        case .toCoordinator(let bytes, let peer):
            record(bytes.count, "receive")
            try transact {
                try $0.receive(bytes, from: peer)
                try $0.tick()
            }
        case .resumeCoordinator: try startCoordinator()
        case .startWorker(let index):
            workers[index].start()
            apply(workers[index].register(at: now), index)
            events.add(.worker(index, life: workers[index].life, .heartbeat), at: now + 2)
        case .worker(let index, let life, let timer):
            guard workers[index].life == life, workers[index].isUp else { return }
            if timer == .heartbeat {
                events.add(.worker(index, life: life, .heartbeat), at: now + 2)
                if generator.unit() < 2 * faults.workerCrashes { return crash(index) }
            }
            apply(workers[index].fire(timer, at: now), index)
        case .toWorker(let body, let index, let life):
            guard workers[index].life == life, workers[index].isUp else { return }
            if case .assignment(let assignment) = body, workers[index].isIdle {
                let (result, seconds) = try evaluate(assignment, on: index)
                apply(workers[index].begin(assignment, result: result, seconds: seconds, at: now), index)
            } else {
                apply(workers[index].receive(body, at: now), index)
            }
        }
    }

    private func apply(_ actions: [SimulatedWorker.Action], _ index: Int) {
        for action in actions {
            switch action {
            case .send(let body):
                guard let bytes = try? WorkerMessage.encode(body) else { continue }
                let peer = workers[index].peer
                transmit { .toCoordinator(bytes, peer) }
            case .wake(let timer, let time): events.add(.worker(index, life: workers[index].life, timer), at: time)
            case .exit: events.add(.startWorker(index), at: now + 5 + generator.unit() * 60)
            }
        }
    }

    private func crash(_ index: Int) {
        record(index, "worker crash")
        workers[index].stop()
        events.add(.startWorker(index), at: now + generator.unit() * 30)
    }

    /// The result of a task on a worker: malformed at times, but of no candidate more than twice, since the third failure
    /// would rightly set it aside.
    private func evaluate(_ assignment: Assignment, on index: Int) throws -> (Messages.TaskResult, seconds: Double) {
        let worker = workers[index]
        let seconds = try model.seconds(for: assignment) * worker.slowness * (0.8 + 0.4 * generator.unit())
        var result = try model.result(of: assignment, slowness: worker.slowness)
        if worker.isFaulty {
            for index in result.images.indices { result.images[index].scores = ["psnr": 20 + generator.unit()] }
        }
        let ids = assignment.candidates.map(\.candidateID)
        if !ids.isEmpty, generator.unit() < faults.malformedResults, ids.allSatisfy({ malformed[$0, default: 0] < 2 }) {
            for id in ids { malformed[id, default: 0] += 1 }
            if generator.unit() < 0.5 {
                result.images.removeLast()
            } else {
                result.images[0].scores = ["psnr": Double.nan]
            }
        }
        result.seal()
        return (result, seconds)
    }

    // MARK: - Report

    private func record(_ value: Int, _ kind: String) {
        for byte in kind.utf8 { trace = (trace ^ UInt64(byte)) &* 0x100_0000_01B3 }
        trace = (trace ^ UInt64(truncatingIfNeeded: value) ^ now.bitPattern) &* 0x100_0000_01B3
    }

    private func lostResults(in history: RunHistory) throws -> [String] {
        try acknowledged.compactMap { task, epoch in
            var query = "SELECT count(*) FROM tasks WHERE id = \(task) AND state = 'done'"
            if task < 0, let measurements = calibration?.context.reuseMeasurements {
                query = """
                    SELECT count(*) FROM reuse_errors e JOIN prompts p ON p.id = e.prompt_id
                    WHERE p.prompt_index = \(measurements[Int(-1 - task)].image.prompt)
                    """
            }
            let isStored = try history.count(query) == 1
            return isStored ? nil : "task \(task), lease \(epoch)"
        }
    }
}

extension FaultSimulation.Decisions {
    fileprivate init(of history: RunHistory) throws {
        let queries = [
            """
            SELECT c.id, c.generation, hex(c.genome), c.origin, c.operator, c.parent_a, c.parent_b, e.cost, e.quality,
                e.images, c.predicted_log_error, c.predicted_quality, c.predicted_deviation FROM candidates c LEFT JOIN evaluations e ON e.candidate_id = c.id ORDER BY c.id
            """,
            """
            SELECT s.candidate_id, s.prompt_id, s.seed, s.scorer, s.value FROM image_scores s ORDER BY 1, 2, 3, 4
            """, "SELECT number, hex(search_state), hypervolume FROM generations ORDER BY number",
        ]
        lines = try queries.flatMap { try history.query($0).rows.map { "\($0)" } }
    }
}

extension RunHistory {
    fileprivate func count(_ sql: String) throws -> Int {
        guard case .integer(let value) = try query(sql).rows.first?.first else { return -1 }
        return Int(value)
    }
}

extension RandomGenerator {
    /// A number from 0 up to 1.
    fileprivate mutating func unit() -> Double { Double(next() >> 11) / Double(1 << 53) }
}
