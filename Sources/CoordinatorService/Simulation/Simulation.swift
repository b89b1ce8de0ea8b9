import Evolution
import Foundation
import History
import Logging
import Messages
import Schedules
import Transport

/// A run with simulated workers in virtual time: the coordinator's own logic, history included, only faster.
///
/// For planning (how long, on how many hosts, at what cost) and for tests.
public struct Simulation {
    private enum Event {
        case join(Int, life: Int)
        case lose(Int, life: Int)
        case done(Int, life: Int, task: Int64, epoch: Int64)
        case heartbeat(Int, life: Int)
        case register(Int, life: Int)
        case request(Int, life: Int)
    }

    private struct Host {
        let peer: PeerID
        let slowness: Double
        /// Rises with every loss, so that events of an earlier life are recognised.
        var life = 0
        var isUp = false
        var joinedAt = 0.0
        var assignment: Assignment?
        var startedAt = 0.0
        var endsAt = 0.0
        var isFree: Bool { assignment == nil }

        /// The share of its task that is done.
        func progress(at now: Double) -> Double { min(1, (now - startedAt) / max(endsAt - startedAt, 1e-9)) }
    }

    private static let engineVersion = "simulated"
    /// A real coordinator's pause without messages.
    private static let tickSeconds = 0.2

    private let options: Options
    private let coordinator: Coordinator
    private let calibration: Calibration
    private let clock: VirtualClock
    private var model: SimulatedModel
    private var generator: RandomGenerator
    private var hosts: [Host] = []
    private var events = EventQueue<Event>()
    private var report = Report()
    private var possibleWork = 0.0
    private var usefulWork = 0.0
    private var tickedAt = -Double.infinity

    /// Prepares a simulation; its history is written to a folder that the caller removes.
    ///
    /// - Parameters:
    ///   - configuration: The run.
    ///   - options: The cluster.
    ///   - folder: A folder of this machine, on a memory file system if there is one.
    /// - Throws: As ``RunService/run(_:in:)``.
    public init(_ configuration: RunConfiguration, options: Options, folder: String) throws {
        self.options = options
        let clock = VirtualClock()
        self.clock = clock
        calibration = try Calibration.create(configuration, in: folder, isDurable: false)
        coordinator = try Coordinator(
            run: calibration, settings: Coordinator.Settings(engineVersion: Self.engineVersion),
            clock: { clock.now }, logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() })
        model = try SimulatedModel(calibration, secondsPerImage: options.secondsPerImage)
        generator = RandomGenerator(seed: options.seed)
    }

    /// Runs until the run is complete or its time is over.
    ///
    /// - Returns: What came of it.
    /// - Throws: As ``RunService/run(_:in:)``.
    public mutating func run() throws -> Report {
        for index in 0..<options.hosts {
            let share = options.hosts > 1 ? Double(index) / Double(options.hosts - 1) : 0
            hosts.append(
                Host(
                    peer: PeerID(bytes: Array("host-\(index)".utf8)),
                    slowness: 1 + share * (max(1, options.speedSpread) - 1)))
            events.add(.join(index, life: 0), at: unit() * 5)
        }
        while !calibration.isFinished, let (time, event) = events.pop(), time <= options.maximumSeconds {
            clock.now = time
            // Heartbeats are most of what happens, and nothing follows from one: no need to look at the time for each.
            if case .heartbeat = event, time - tickedAt < Self.tickSeconds {
                try handle(event)
                continue
            }
            tickedAt = time
            try calibration.history.transaction {
                try handle(event)
                try coordinator.tick()
            }
            try deliver()
        }
        for index in hosts.indices where hosts[index].isUp {
            account(index)
            // Cut off here, not lost.
            if let assignment = hosts[index].assignment, coordinator.scheduler.isOpen(taskID: assignment.taskID) {
                usefulWork += try hosts[index].progress(at: clock.now) * model.seconds(for: assignment)
            }
        }
        report.seconds = clock.now
        report.isComplete = calibration.isFinished
        report.generations = try calibration.history.search.generations(of: calibration.runID).count { $0.isFinished }
        report.evaluations = calibration.candidateCount - coordinator.openCandidateCount
        report.throughput = possibleWork > 0 ? usefulWork / possibleWork : 0
        report.price = options.pricePerHostHour.map { $0 * report.hostHours }
        try calibration.history.close()
        return report
    }

    // MARK: - Events

    private mutating func handle(_ event: Event) throws {
        switch event {
        case .join(let index, let life):
            guard hosts[index].life == life else { return }
            hosts[index].isUp = true
            hosts[index].joinedAt = clock.now
            if options.preemptionsPerHour > 0 {
                let hours = -log(1 - unit()) / options.preemptionsPerHour
                events.add(.lose(index, life: life), at: clock.now + hours * 3_600)
            }
            events.add(.heartbeat(index, life: life), at: clock.now + unit() * coordinator.settings.heartbeatSeconds)
            try register(index)
        case .register(let index, let life): if isAlive(index, life) { try register(index) }
        case .lose(let index, let life): if isAlive(index, life) { try lose(index) }
        case .heartbeat(let index, let life):
            guard isAlive(index, life) else { return }
            var heartbeat = Heartbeat()
            let host = hosts[index]
            if let assignment = host.assignment {
                heartbeat.taskID = assignment.taskID
                let images = Double(assignment.items.count * assignment.candidates.count)
                heartbeat.imagesDone = UInt32(host.progress(at: clock.now) * images)
            }
            try coordinator.handle(.heartbeat(heartbeat), from: hosts[index].peer)
            events.add(.heartbeat(index, life: life), at: clock.now + coordinator.settings.heartbeatSeconds)
        case .request(let index, let life):
            guard isAlive(index, life), hosts[index].isFree else { return }
            try coordinator.handle(.taskRequest(TaskRequest()), from: hosts[index].peer)
        case .done(let index, let life, let task, let epoch):
            guard isAlive(index, life), let assignment = hosts[index].assignment, assignment.taskID == task,
                assignment.leaseEpoch == epoch
            else { return }
            hosts[index].assignment = nil
            try finish(assignment, on: index)
            try coordinator.handle(.taskRequest(TaskRequest()), from: hosts[index].peer)
        }
    }

    private func isAlive(_ index: Int, _ life: Int) -> Bool { hosts[index].isUp && hosts[index].life == life }

    private func register(_ index: Int) throws {
        var registration = Registration()
        registration.workerName = "host-\(index)"
        registration.engineVersion = Self.engineVersion
        registration.modelHash = calibration.context.modelHash
        registration.imageModelHash = calibration.context.modelHash
        registration.scorerHashes = Array(calibration.configuration.scorerFingerprints.values)
        registration.threads = 1
        try coordinator.handle(.registration(registration), from: hosts[index].peer)
    }

    private mutating func lose(_ index: Int) throws {
        report.preemptions += 1
        account(index)
        if unit() >= options.silentShare {
            try coordinator.handle(.goodbye(Goodbye()), from: hosts[index].peer)
        }
        hosts[index].isUp = false
        hosts[index].assignment = nil
        hosts[index].life += 1
        events.add(.join(index, life: hosts[index].life), at: clock.now + options.replacementSeconds)
    }

    /// Adds up what a host could have done since it joined.
    private mutating func account(_ index: Int) {
        let seconds = clock.now - hosts[index].joinedAt
        report.hostHours += seconds / 3_600
        possibleWork += seconds / hosts[index].slowness
    }

    private mutating func finish(_ assignment: Assignment, on index: Int) throws {
        if unit() < options.failureRate {
            report.failures += 1
            var failure = TaskFailure()
            failure.taskID = assignment.taskID
            failure.leaseEpoch = assignment.leaseEpoch
            failure.reason = "simulated"
            return try coordinator.handle(.taskFailure(failure), from: hosts[index].peer)
        }
        let isWanted = coordinator.scheduler.isOpen(taskID: assignment.taskID)
        if isWanted {
            report.tasks += 1
            usefulWork += try model.seconds(for: assignment)
        } else {
            report.surplusTasks += 1
        }
        let result = try model.result(of: assignment, slowness: hosts[index].slowness)
        try coordinator.handle(.taskResult(result), from: hosts[index].peer)
    }

    // MARK: - What the coordinator says

    private mutating func deliver() throws {
        for message in coordinator.takeOutbox() {
            guard let index = Int(String(decoding: message.peer.bytes.dropFirst(5), as: UTF8.self)) else { continue }
            let life = hosts[index].life
            guard hosts[index].isUp else { continue }
            switch message.body {
            case .welcome(let welcome):
                if welcome.hasCostImageCount {
                    try coordinator.handle(.costReport(model.costReport), from: hosts[index].peer)
                }
                var canary = Canary()
                canary.values = [1, 2, 3]
                try coordinator.handle(.canary(canary), from: hosts[index].peer)
                events.add(.request(index, life: life), at: clock.now)
            case .assignment(let assignment):
                guard hosts[index].isFree else { continue }
                hosts[index].assignment = assignment
                var seconds = try model.seconds(for: assignment) * hosts[index].slowness * (0.95 + 0.1 * unit())
                if unit() < options.stragglerRate { seconds *= options.stragglerFactor }
                (hosts[index].startedAt, hosts[index].endsAt) = (clock.now, clock.now + seconds)
                events.add(
                    .done(index, life: life, task: assignment.taskID, epoch: assignment.leaseEpoch),
                    at: hosts[index].endsAt)
            case .cancel(let cancel):
                guard hosts[index].assignment?.taskID == cancel.taskID else { continue }
                hosts[index].assignment = nil
                report.surplusTasks += 1
                events.add(.request(index, life: life), at: clock.now)
            case .refusal(let refusal):
                hosts[index].assignment = nil
                if refusal.retry { events.add(.register(index, life: life), at: clock.now + 1) }
            case .acknowledgement, .wait, .finish, .probeReply, .blobChunk: break
            }
        }
    }

    private mutating func unit() -> Double { Double(generator.next() >> 11) / Double(1 << 53) }
}
