import Evolution
import Foundation
import History
import Messages
import Schedules
import Transport

/// A run with simulated workers in virtual time: the coordinator's own logic, history included, only faster.
///
/// For planning (how long, on how many hosts, at what cost) and for tests.
public struct Simulation {
    /// The cluster that is imagined.
    public struct Options: Sendable {
        /// Hosts, each with one worker.
        public var hosts = 100
        /// Times by which the slowest host is slower than the fastest; hosts are spread evenly between.
        public var speedSpread = 2.0
        /// Seconds for an uncached image on the fastest host.
        public var secondsPerImage = 1.0
        /// Chance per hour that a host is taken away.
        public var preemptionsPerHour = 0.0
        /// Seconds until a host that was taken away is replaced.
        public var replacementSeconds = 120.0
        /// Share of the losses without a goodbye: the coordinator must find out by itself.
        public var silentShare = 0.5
        /// Chance that a task fails by an error.
        public var failureRate = 0.0
        /// Chance that a task takes `stragglerFactor` times as long.
        public var stragglerRate = 0.0
        /// How much longer stragglers take.
        public var stragglerFactor = 5.0
        /// Seconds after which the simulation ends; infinite for the whole run.
        public var maximumSeconds = Double.infinity
        /// Price of a host for an hour, in any currency.
        public var pricePerHostHour: Double?
        /// Seed of all chances.
        public var seed: UInt64 = 0

        /// The defaults.
        public init() {}
    }

    /// What came of it.
    public struct Report: Sendable, Encodable {
        /// Virtual seconds from the start to the end.
        public var seconds = 0.0
        /// True if the run came to its end.
        public var isComplete = false
        /// Generations completed.
        public var generations = 0
        /// Candidates evaluated.
        public var evaluations = 0
        /// Tasks whose results counted.
        public var tasks = 0
        /// Tasks computed for nothing: hedges, results that came second, rechecks.
        public var surplusTasks = 0
        /// Hosts taken away.
        public var preemptions = 0
        /// Failures reported.
        public var failures = 0
        /// Work whose result counted, as a share of what the hosts that were there could have done.
        public var throughput = 0.0
        /// Hours of hosts.
        public var hostHours = 0.0
        /// Their price, if one was given.
        public var price: Double?

        private enum CodingKeys: String, CodingKey {
            case seconds, generations, evaluations, tasks, preemptions, failures, throughput, price
            case isComplete = "complete"
            case surplusTasks = "surplus_tasks"
            case hostHours = "host_hours"
        }

        /// A few lines for people.
        public var text: String {
            let duration = ProgressLine.duration(seconds)
            let lines = [
                "time          \(duration)" + (isComplete ? "" : " (cut off: the run is not complete)"),
                "generations   \(generations)", "evaluations   \(evaluations)",
                "tasks         \(tasks), \(surplusTasks) more for nothing", "preemptions   \(preemptions)",
                "failures      \(failures)",
                String(format: "throughput    %.1f %% of what the hosts could have done", 100 * throughput),
                String(format: "host hours    %.1f", hostHours),
            ]
            return (lines + (price.map { [String(format: "price         %.2f", $0)] } ?? [])).joined(separator: "\n")
        }
    }

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
        var isFree: Bool { assignment == nil }
    }

    private static let engineVersion = "simulated"

    private let options: Options
    private let coordinator: Coordinator
    private let calibration: Calibration
    private let clock: VirtualClock
    private let uncachedMACs: Double
    private var generator: RandomGenerator
    private var hosts: [Host] = []
    private var events = EventQueue<Event>()
    private var report = Report()
    private var possibleWork = 0.0
    private var usefulWork = 0.0
    private var ratios: [Int64: Double] = [:]

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
        calibration = try Calibration.begin(configuration, in: folder, isDurable: false)
        coordinator = try Coordinator(
            served: calibration, settings: Coordinator.Settings(engineVersion: Self.engineVersion),
            clock: { clock.now }, log: { _ in })
        uncachedMACs = Double(try calibration.model.architecture.macs(Schedule(shape: calibration.shape)).total)
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
            try calibration.history.grouped {
                try handle(event)
                try coordinator.tick()
            }
            try deliver()
        }
        for index in hosts.indices where hosts[index].isUp { account(index) }
        report.seconds = clock.now
        report.isComplete = calibration.isFinished
        report.generations = try calibration.history.generations(of: calibration.runID).count { $0.isFinished }
        report.evaluations = calibration.doneCount
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
            if let assignment = hosts[index].assignment { heartbeat.taskID = assignment.taskID }
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
        registration.modelHash = calibration.modelHash
        registration.imageModelHash = calibration.modelHash
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
        let isWanted = calibration.tasks[assignment.taskID] != nil
        if isWanted {
            report.tasks += 1
            usefulWork += try work(of: assignment)
        } else {
            report.surplusTasks += 1
        }
        try coordinator.handle(.taskResult(try result(of: assignment, on: index)), from: hosts[index].peer)
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
                    try coordinator.handle(.costReport(costReport), from: hosts[index].peer)
                }
                var canary = Canary()
                canary.values = [1, 2, 3]
                try coordinator.handle(.canary(canary), from: hosts[index].peer)
                events.add(.request(index, life: life), at: clock.now)
            case .assignment(let assignment):
                guard hosts[index].isFree else { continue }
                hosts[index].assignment = assignment
                var seconds = try work(of: assignment) * hosts[index].slowness * (0.95 + 0.1 * unit())
                if unit() < options.stragglerRate { seconds *= options.stragglerFactor }
                events.add(
                    .done(index, life: life, task: assignment.taskID, epoch: assignment.leaseEpoch),
                    at: clock.now + seconds)
            case .cancel(let cancel):
                guard hosts[index].assignment?.taskID == cancel.taskID else { continue }
                hosts[index].assignment = nil
                events.add(.request(index, life: life), at: clock.now)
            case .refusal(let refusal):
                hosts[index].assignment = nil
                if refusal.retry { events.add(.register(index, life: life), at: clock.now + 1) }
            case .acknowledgement, .wait, .finish, .probeReply, .blobChunk: break
            }
        }
    }

    // MARK: - The imagined model

    /// Seconds that a task takes the fastest host: an uncached run of its images for every four candidates, and the
    /// candidates by their multiply-adds.
    private mutating func work(of assignment: Assignment) throws -> Double {
        let images = Double(assignment.items.count)
        let candidates = try assignment.candidates.reduce(0) { $0 + (try ratio(of: $1)) }
        let references = calibration.configuration.cost != .macs ? 1 + Double(assignment.candidates.count) / 4 : 0
        return options.secondsPerImage * images * (candidates + references.rounded(.up))
    }

    private mutating func ratio(of candidate: AssignedCandidate) throws -> Double {
        if let ratio = ratios[candidate.candidateID] { return ratio }
        let genome = try Genome(bytes: candidate.genome, geneCount: Int(candidate.geneCount))
        let macs = try calibration.model.architecture.macs(Schedule(shape: calibration.shape, genome: genome)).total
        let ratio = Double(macs) / uncachedMACs
        ratios[candidate.candidateID] = ratio
        return ratio
    }

    /// Every instance of a component costs the same.
    private var costReport: CostReport {
        let seconds = options.secondsPerImage / Double(calibration.shape.geneCount)
        let names = Set(calibration.shape.blocks.flatMap(\.components).map(\.rawValue))
        let phase = CostTable.Phase(
            step: 0, components: Dictionary(uniqueKeysWithValues: names.map { ($0, CostTable.Costs(compute: seconds)) })
        )
        var report = CostReport()
        report.table = CostTable(imageCount: 1, full: phase, gated: phase).json
        report.uncachedSeconds = options.secondsPerImage
        return report
    }

    /// Quality falls with what is saved, by an amount that depends on where it is saved.
    private mutating func result(of assignment: Assignment, on index: Int) throws -> Messages.TaskResult {
        var result = Messages.TaskResult()
        result.taskID = assignment.taskID
        result.leaseEpoch = assignment.leaseEpoch
        result.taskSeconds = try work(of: assignment) * hosts[index].slowness
        for candidate in assignment.candidates {
            let ratio = try ratio(of: candidate)
            let hash = candidate.genome.reduce(UInt64(1)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
            for item in assignment.items {
                var image = ImageMeasurement()
                image.candidateID = candidate.candidateID
                image.promptIndex = item.promptIndex
                image.seed = item.seed
                let scorer = calibration.configuration.quality.rawValue
                image.scores = [scorer: 10 + 40 * ratio + Double(hash % 1_000) / 200]
                image.denoiseSeconds = options.secondsPerImage * ratio * hosts[index].slowness
                image.referenceSeconds = options.secondsPerImage * hosts[index].slowness
                result.images.append(image)
            }
        }
        return result
    }

    private mutating func unit() -> Double { Double(generator.next() >> 11) / Double(1 << 53) }
}

/// A clock that stands still until it is set.
final class VirtualClock {
    var now = 0.0
}
