import Basics
import Evolution
import Foundation
import HeapModule
import History
import Logging
import Messages
import Transport

/// A run with simulated workers in virtual time.
///
/// The coordinator and the history are the real ones; only workers, network and clock are simulated. Serves to estimate
/// duration and price of a run, and to test the coordinator with large clusters.
public struct Simulation {
    /// The simulated cluster.
    public struct Options: Sendable {
        /// Hosts, with one worker each.
        public var hosts = 100
        /// Duration of a task on the slowest host relative to the fastest; hosts are spaced evenly between them.
        public var speedSpread = 2.0
        /// Denoising time of an uncached image on the fastest host.
        public var secondsPerImage = 1.0
        /// Probability per hour that a host is preempted.
        public var preemptionsPerHour = 0.0
        /// Seconds until a preempted host is replaced.
        public var replacementSeconds = 120.0
        /// Fraction of preemptions without a goodbye message, which the coordinator must detect.
        public var silentShare = 0.5
        /// Probability that a task fails.
        public var failureRate = 0.0
        /// Probability that a task takes ``stragglerFactor`` times as long.
        public var stragglerRate = 0.0
        /// Slow-down of stragglers.
        public var stragglerFactor = 5.0
        /// Virtual seconds after which the simulation ends.
        public var maximumSeconds = Double.infinity
        /// Price of a host per hour, in any currency.
        public var pricePerHostHour: Double?
        /// Seed of all random events.
        public var seed: UInt64 = 0

        /// All defaults.
        public init() {}
    }

    private enum Event {
        case join(Int, life: Int)
        case preempt(Int, life: Int)
        case finishTask(Int, life: Int, task: Int64, epoch: Int64)
        case heartbeat(Int, life: Int)
        case register(Int, life: Int)
        case requestTask(Int, life: Int)
    }

    private struct Host {
        let peer: PeerID
        let slowness: Double
        /// Incremented by every preemption, to discard events scheduled before it.
        var life = 0
        var isUp = false
        var joinedAt = 0.0
        var assignment: Assignment?
        /// The assignment's duration on the fastest host, without delays of a straggler.
        var work = 0.0
        var startedAt = 0.0
        var endsAt = 0.0
        var isFree: Bool { assignment == nil }

        /// The completed fraction of the current task.
        func progress(at now: Double) -> Double { min(1, (now - startedAt) / max(endsAt - startedAt, 1e-9)) }
    }

    private static let engineVersion = "simulated"
    /// The interval at which an idle coordinator wakes up.
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
    /// In seconds of the fastest host.
    private var possibleWork = 0.0
    private var usefulWork = 0.0
    private var tickedAt = -Double.infinity

    /// Begins the run in a directory that the caller removes afterwards.
    ///
    /// - Parameters:
    ///   - configuration: The run.
    ///   - options: The cluster.
    ///   - folder: A new directory, preferably on a memory file system.
    /// - Throws: The errors of ``RunService/run(_:in:)``.
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

    /// Simulates until the run is complete or ``Options/maximumSeconds`` have passed.
    ///
    /// - Returns: Statistics of the run.
    /// - Throws: The errors of ``RunService/run(_:in:)``.
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
            // Heartbeats are by far the most frequent events and cause no messages, so they are not followed by a tick each.
            if case .heartbeat = event, time - tickedAt < Self.tickSeconds {
                try handle(event)
                continue
            }
            tickedAt = time
            try calibration.history.transaction {
                try handle(event)
                try coordinator.tick()
            }
            try deliverMessages()
        }
        for index in hosts.indices where hosts[index].isUp { accountHostTime(index) }
        // Interrupted by the end of the simulation, not wasted; of several hosts with one task only the first counts.
        var interrupted: Set<Int64> = []
        for host in hosts.filter(\.isUp).sorted(by: { $0.startedAt < $1.startedAt }) {
            guard let task = host.assignment?.taskID, coordinator.scheduler.isOpen(taskID: task),
                interrupted.insert(task).inserted
            else { continue }
            usefulWork += host.progress(at: clock.now) * host.work
        }
        report.seconds = clock.now
        report.isComplete = calibration.isFinished
        report.generations = try calibration.history.search.generations(of: calibration.runID).count { $0.isFinished }
        let openCount = calibration.openCount(of: coordinator.openCandidates)
        report.evaluations = calibration.candidateCount - openCount
        report.images = calibration.budget.spent(withOpen: openCount)
        report.budgetImages = calibration.budget.limit
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
                events.add(.preempt(index, life: life), at: clock.now + hours * 3_600)
            }
            events.add(.heartbeat(index, life: life), at: clock.now + unit() * coordinator.settings.heartbeatSeconds)
            try register(index)
        case .register(let index, let life): if isAlive(index, life) { try register(index) }
        case .preempt(let index, let life): if isAlive(index, life) { try preempt(index) }
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
        case .requestTask(let index, let life):
            guard isAlive(index, life), hosts[index].isFree else { return }
            try coordinator.handle(.taskRequest(TaskRequest()), from: hosts[index].peer)
        case .finishTask(let index, let life, let task, let epoch):
            guard isAlive(index, life), let assignment = hosts[index].assignment, assignment.taskID == task,
                assignment.leaseEpoch == epoch
            else { return }
            hosts[index].assignment = nil
            try finishTask(assignment, on: index)
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
        registration.precisions = Precision.allCases.map(\.rawValue)
        registration.engine = calibration.configuration.arithmetic.engine.rawValue
        registration.threads = 1
        try coordinator.handle(.registration(registration), from: hosts[index].peer)
    }

    private mutating func preempt(_ index: Int) throws {
        report.preemptions += 1
        accountHostTime(index)
        if unit() >= options.silentShare {
            try coordinator.handle(.goodbye(Goodbye()), from: hosts[index].peer)
        }
        hosts[index].isUp = false
        hosts[index].assignment = nil
        hosts[index].life += 1
        events.add(.join(index, life: hosts[index].life), at: clock.now + options.replacementSeconds)
    }

    /// Adds the time since a host joined to the report.
    private mutating func accountHostTime(_ index: Int) {
        let seconds = clock.now - hosts[index].joinedAt
        report.hostHours += seconds / 3_600
        possibleWork += seconds / hosts[index].slowness
    }

    private mutating func finishTask(_ assignment: Assignment, on index: Int) throws {
        if unit() < options.failureRate {
            report.failures += 1
            var failure = TaskFailure()
            failure.taskID = assignment.taskID
            failure.leaseEpoch = assignment.leaseEpoch
            failure.reason = "simulated"
            return try coordinator.handle(.taskFailure(failure), from: hosts[index].peer)
        }
        if coordinator.scheduler.isOpen(taskID: assignment.taskID) {
            report.tasks += 1
            usefulWork += hosts[index].work
        } else {
            report.surplusTasks += 1
        }
        let result = try model.result(of: assignment, slowness: hosts[index].slowness)
        try coordinator.handle(.taskResult(result), from: hosts[index].peer)
    }

    // MARK: - Messages of the coordinator

    private mutating func deliverMessages() throws {
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
                events.add(.requestTask(index, life: life), at: clock.now)
            case .assignment(let assignment):
                guard hosts[index].isFree else { continue }
                hosts[index].assignment = assignment
                hosts[index].work = try model.seconds(for: assignment) * (0.95 + 0.1 * unit())
                var seconds = hosts[index].work * hosts[index].slowness
                if unit() < options.stragglerRate { seconds *= options.stragglerFactor }
                (hosts[index].startedAt, hosts[index].endsAt) = (clock.now, clock.now + seconds)
                events.add(
                    .finishTask(index, life: life, task: assignment.taskID, epoch: assignment.leaseEpoch),
                    at: hosts[index].endsAt)
            case .cancel(let cancel):
                guard hosts[index].assignment?.taskID == cancel.taskID else { continue }
                hosts[index].assignment = nil
                report.surplusTasks += 1
                events.add(.requestTask(index, life: life), at: clock.now)
            case .refusal(let refusal):
                hosts[index].assignment = nil
                if refusal.retry { events.add(.register(index, life: life), at: clock.now + 1) }
            case .acknowledgement, .wait, .finish, .probeReply, .blobChunk: break
            }
        }
    }

    /// A uniform random number in [0, 1).
    private mutating func unit() -> Double { Double(generator.next() >> 11) / Double(1 << 53) }
}

// MARK: - Report

extension Simulation {
    /// Statistics of a simulated run.
    public struct Report: Sendable, Encodable {
        /// Virtual time.
        var seconds = 0.0
        /// False if the simulation ended at ``Simulation/Options/maximumSeconds``.
        var isComplete = false
        /// Completed generations.
        var generations = 0
        var evaluations = 0
        /// As counted by `search.budget_images`.
        var images = 0.0
        /// Nil without a budget.
        var budgetImages: Int?
        /// Tasks whose results were used.
        var tasks = 0
        /// Tasks whose results were not needed: hedged tasks, late results, rechecks.
        var surplusTasks = 0
        var preemptions = 0
        /// Failed tasks.
        var failures = 0
        /// Share of the hosts' time, weighted by their speed, that went into results that were used; 0 to 1.
        ///
        /// The rest was idle, spent on results that were not used, lost to preemption, or the delay of stragglers.
        var throughput = 0.0
        var hostHours = 0.0
        /// Nil unless ``Simulation/Options/pricePerHostHour`` is set.
        var price: Double?

        private enum CodingKeys: String, CodingKey {
            case seconds, generations, evaluations, images, tasks, preemptions, failures, throughput, price
            case budgetImages = "budget_images"
            case isComplete = "complete"
            case surplusTasks = "surplus_tasks"
            case hostHours = "host_hours"
        }

        /// Aligned lines, without a final newline.
        public var text: String {
            let duration = durationText(seconds: seconds)
            let lines = [
                "time          \(duration)" + (isComplete ? "" : " (stopped before the end of the run)"),
                "generations   \(generations)", "evaluations   \(evaluations)",
                "images        \(ImageBudget.text(images))"
                    + (budgetImages.map { " of \(ImageBudget.text($0))" } ?? ""),
                "tasks         \(tasks), plus \(surplusTasks) surplus", "preemptions   \(preemptions)",
                "failures      \(failures)",
                String(
                    format: "throughput    %.1f %% of the hosts' time spent on results that were used", 100 * throughput
                ),
                String(format: "host hours    %.1f", hostHours),
            ]
            return (lines + (price.map { [String(format: "price         %.2f", $0)] } ?? [])).joined(separator: "\n")
        }
    }
}

// MARK: - Virtual time

/// A clock that its owner sets.
final class VirtualClock {
    /// Seconds.
    var now = 0.0
}

/// Events ordered by time; simultaneous events keep the order in which they were added.
struct EventQueue<Event> {
    private struct Entry: Comparable {
        let time: Double
        let number: Int
        let event: Event

        static func < (a: Entry, b: Entry) -> Bool { (a.time, a.number) < (b.time, b.number) }
        static func == (a: Entry, b: Entry) -> Bool { a.number == b.number }
    }

    private var heap = Heap<Entry>()
    private var count = 0

    mutating func add(_ event: Event, at time: Double) {
        heap.insert(Entry(time: time, number: count, event: event))
        count += 1
    }

    mutating func pop() -> (time: Double, event: Event)? { heap.popMin().map { ($0.time, $0.event) } }
}
