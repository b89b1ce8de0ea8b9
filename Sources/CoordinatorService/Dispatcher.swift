/// Who works on what: a value without sockets, clocks or files, told what happens and when.
///
/// A task is leased to a worker for a time that follows from what tasks have cost so far; the worker's heartbeats renew
/// the lease as long as they show progress. The tasks of a worker that leaves, falls silent or gets stuck go back to
/// the front of the queue. When nothing waits any more, idle workers get the tasks that will take longest a second
/// time, and the first result counts.
struct Dispatcher {
    /// The number of a task in the history.
    typealias TaskID = Int64
    /// The number of a worker in the history.
    typealias WorkerID = Int64

    /// A task given to a worker.
    struct Lease: Equatable {
        let task: TaskID
        let worker: WorkerID
        /// Which of the task's leases; 0 until ``Dispatcher/setEpoch(_:of:to:)``.
        var epoch = 0
        /// Seconds without progress after which it ends.
        let seconds: Double
        let startedAt: Double
        /// When its worker last got on with it.
        var progressAt: Double
        var imagesDone = 0
        /// True if another worker has the task too.
        let isHedge: Bool
    }

    /// Why a worker lost what it held.
    enum Loss: Equatable {
        /// Nothing was heard of it.
        case silent
        /// It is alive but gets no further.
        case stuck
    }

    /// What becomes of a task that failed.
    enum Verdict: Equatable {
        case retry
        case giveUp
        /// The failure was not the holder's to report.
        case ignored
    }

    struct TaskEntry {
        var units: Double
        var failedBy: Set<WorkerID> = []
        var failures = 0
        var excluded: Set<WorkerID> = []
        var leases: [Lease] = []
    }

    struct WorkerEntry {
        var lastHeard: Double
        var isIdle = false
        /// When its batch system will end it.
        var endsAt = Double.infinity
        var tasks: [TaskID] = []
    }

    /// Different workers that must fail at a task before it is given up.
    static let failureLimit = 3
    /// Workers that may have a task at once.
    static let holderLimit = 2
    /// The shortest lease: slow phases of a machine are no reason to take a task away.
    static let shortestLease = 60.0
    /// The lease while nothing has been measured: nobody knows what a task of this model takes.
    static let firstLease = 86_400.0

    /// Seconds of silence after which a worker is given up.
    let silenceLimit: Double

    private(set) var costs = TaskCosts()
    private(set) var tasks: [TaskID: TaskEntry] = [:]
    private(set) var workers: [WorkerID: WorkerEntry] = [:]
    private var queue = TaskQueue()
    private var idle: [WorkerID] = []
    private var hedgedAt = -Double.infinity

    /// An empty dispatcher.
    init(silenceLimit: Double) {
        self.silenceLimit = silenceLimit
    }

    /// Tasks that are neither done nor given up.
    var openTaskCount: Int { tasks.count }

    /// Workers that were heard from and have not left.
    var workerCount: Int { workers.count }

    /// Workers without a task.
    var idleCount: Int { idle.count }

    /// True if a worker is idle for want of tasks.
    var isHungry: Bool { queue.isEmpty && !idle.isEmpty }

    /// The workers that a task is leased to.
    func holders(of task: TaskID) -> [WorkerID] { tasks[task]?.leases.map(\.worker) ?? [] }

    /// The lease of a task to a worker.
    func lease(of task: TaskID, to worker: WorkerID) -> Lease? {
        tasks[task]?.leases.first { $0.worker == worker }
    }

    /// Whether a task waits for its first or another holder.
    func isWaiting(_ task: TaskID) -> Bool { queue.contains(task) }

    // MARK: - Tasks come and go

    /// Queues a task.
    ///
    /// - Parameters:
    ///   - task: Its number.
    ///   - units: Its size: images times candidates.
    ///   - failedBy: Workers that failed at it in an earlier life of the coordinator.
    ///   - excluded: Workers that must not have it.
    ///   - isFirst: True to put it before all that waits.
    mutating func add(
        _ task: TaskID, units: Double, failedBy: Set<WorkerID> = [], excluding excluded: Set<WorkerID> = [],
        isFirst: Bool = false
    ) {
        guard tasks[task] == nil else { return }
        tasks[task] = TaskEntry(units: units, failedBy: failedBy, failures: failedBy.count, excluded: excluded)
        if isFirst { queue.returnToFront([task]) } else { queue.append(task) }
    }

    /// Notes that a task's result is in the history, or that the task was given up.
    ///
    /// - Returns: The leases that end with it.
    @discardableResult
    mutating func finish(_ task: TaskID) -> [Lease] {
        queue.remove(task)
        guard let entry = tasks.removeValue(forKey: task) else { return [] }
        for lease in entry.leases { workers[lease.worker]?.tasks.removeAll { $0 == task } }
        return entry.leases
    }

    /// Notes what a finished task took.
    mutating func noteCost(seconds: Double, units: Double, by worker: WorkerID) {
        costs.note(seconds: seconds, units: units, by: worker)
    }

    /// Notes a failure; the task goes to the end of the queue, for another worker if there is one.
    mutating func fail(_ task: TaskID, by worker: WorkerID) -> Verdict {
        guard release(task, from: worker) != nil else { return .ignored }
        tasks[task]?.failedBy.insert(worker)
        tasks[task]?.failures += 1
        let verdict = verdict(on: task)
        if verdict == .retry, tasks[task]?.leases.isEmpty == true { queue.append(task) }
        return verdict
    }

    /// Counts a failure that became known after its lease had ended: the worker's process died of the task.
    mutating func charge(_ task: TaskID, to worker: WorkerID) -> Verdict {
        guard tasks[task] != nil else { return .ignored }
        tasks[task]?.failedBy.insert(worker)
        tasks[task]?.failures += 1
        return verdict(on: task)
    }

    private func verdict(on task: TaskID) -> Verdict {
        guard let entry = tasks[task] else { return .ignored }
        let hasWorkerLeft = workers.keys.contains { !entry.failedBy.contains($0) && !entry.excluded.contains($0) }
        let isHopeless =
            entry.failedBy.count >= Self.failureLimit || !hasWorkerLeft && entry.failures >= Self.failureLimit
        return isHopeless ? .giveUp : .retry
    }

    // MARK: - Workers come and go

    /// Notes that a worker is alive.
    mutating func hear(from worker: WorkerID, at now: Double) {
        workers[worker, default: WorkerEntry(lastHeard: now)].lastHeard = now
    }

    /// Notes how far a worker is with its task.
    mutating func progress(of worker: WorkerID, on task: TaskID, imagesDone: Int, at now: Double) {
        guard let index = tasks[task]?.leases.firstIndex(where: { $0.worker == worker }),
            let done = tasks[task]?.leases[index].imagesDone, imagesDone > done
        else { return }
        tasks[task]?.leases[index].imagesDone = imagesDone
        tasks[task]?.leases[index].progressAt = now
    }

    /// Notes that a worker is free.
    ///
    /// - Parameters:
    ///   - worker: The worker.
    ///   - now: Seconds.
    ///   - secondsLeft: How long its batch system lets it live.
    /// - Returns: What it held: it asks for a task, so it has none.
    mutating func free(_ worker: WorkerID, at now: Double, secondsLeft: Double? = nil) -> [Lease] {
        hear(from: worker, at: now)
        let returned = takeBack(from: worker)
        workers[worker]?.endsAt = secondsLeft.map { now + $0 } ?? .infinity
        if workers[worker]?.isIdle == false {
            workers[worker]?.isIdle = true
            idle.append(worker)
        }
        return returned
    }

    /// Forgets a worker that has left.
    ///
    /// - Returns: What it held; the tasks are first in the queue again.
    mutating func leave(_ worker: WorkerID) -> [Lease] {
        let returned = takeBack(from: worker)
        if workers.removeValue(forKey: worker)?.isIdle == true { idle.removeAll { $0 == worker } }
        return returned
    }

    /// Gives up the workers that have been silent for too long, and takes tasks from those that get no further.
    ///
    /// A worker that is stuck stays known, without a task: it may ask for another one.
    mutating func expire(at now: Double) -> [(worker: WorkerID, loss: Loss, leases: [Lease])] {
        var lost: [(worker: WorkerID, loss: Loss, leases: [Lease])] = []
        for worker in workers.filter({ now - $0.value.lastHeard > silenceLimit }).keys.sorted() {
            lost.append((worker, .silent, leave(worker)))
        }
        let expired = tasks.values.flatMap(\.leases).filter { now - $0.progressAt > $0.seconds }
        for worker in Set(expired.map(\.worker)).sorted() {
            lost.append((worker, .stuck, takeBack(from: worker)))
        }
        return lost
    }

    /// Workers that hold a task and have missed several heartbeats: their connection may be gone.
    func quiet(for seconds: Double, at now: Double) -> [WorkerID] {
        workers.filter { now - $0.value.lastHeard > seconds && !$0.value.tasks.isEmpty }.keys.sorted()
    }

    // MARK: - Leases

    /// Leases a waiting task to an idle worker, the longest idle first; nil while there is no such pair.
    ///
    /// - Parameters:
    ///   - now: Seconds.
    ///   - retiring: Receives idle workers whose time is too short for anything that waits.
    /// - Returns: The lease.
    mutating func lease(at now: Double, retiring: inout [WorkerID]) -> Lease? {
        var passedOver: [WorkerID] = []
        defer { idle.insert(contentsOf: passedOver, at: 0) }
        while !idle.isEmpty, !queue.isEmpty {
            let worker = idle.removeFirst()
            guard let entry = workers[worker] else { continue }
            var isTimeTooShort = false
            // Taken out of self for the while: the choice looks at everything but the queue.
            var queue = self.queue
            self.queue = TaskQueue()
            let task = queue.popFirst { task in
                guard let candidate = tasks[task], !candidate.excluded.contains(worker) else { return false }
                if candidate.failedBy.contains(worker), hasOther(than: candidate.failedBy) { return false }
                let fits = self.fits(units: candidate.units, worker: worker, endsAt: entry.endsAt, at: now)
                if !fits { isTimeTooShort = true }
                return fits
            }
            self.queue = queue
            if let task { return grant(task, to: worker, at: now, isHedge: false) }
            if isTimeTooShort {
                workers[worker]?.isIdle = false
                retiring.append(worker)
            } else {
                passedOver.append(worker)
            }
        }
        return nil
    }

    /// Gives tasks that others have been at for long to idle workers too, once nothing waits any more.
    ///
    /// Looks once a second at most.
    mutating func hedge(at now: Double) -> [Lease] {
        guard queue.isEmpty, !idle.isEmpty, now - hedgedAt >= 1 else { return [] }
        hedgedAt = now
        var slow: [(lease: Lease, left: Double)] = tasks.values.compactMap { entry in
            guard let lease = entry.leases.first, entry.leases.count < Self.holderLimit, lease.task > 0 else {
                return nil
            }
            return (lease, secondsLeft(of: lease, units: entry.units, at: now))
        }
        slow.sort { $0.left == $1.left ? $0.lease.task < $1.lease.task : $0.left > $1.left }
        var granted: [Lease] = []
        for (lease, left) in slow {
            let position = idle.firstIndex { worker in
                guard let entry = tasks[lease.task], let state = workers[worker] else { return false }
                guard !entry.excluded.contains(worker), !entry.failedBy.contains(worker) else { return false }
                guard fits(units: entry.units, worker: worker, endsAt: state.endsAt, at: now) else { return false }
                // Worth it if the other would be done sooner; a task nobody can judge is doubled after a minute.
                guard let expected = costs.expectedSeconds(units: entry.units, on: worker) else {
                    return now - lease.startedAt > Self.shortestLease
                }
                return expected + 1 < left
            }
            guard let position else { continue }
            let worker = idle.remove(at: position)
            granted.append(grant(lease.task, to: worker, at: now, isHedge: true))
            if idle.isEmpty { break }
        }
        return granted
    }

    /// Notes the number that the history gave a lease.
    mutating func setEpoch(_ epoch: Int, of task: TaskID, to worker: WorkerID) {
        guard let index = tasks[task]?.leases.firstIndex(where: { $0.worker == worker }) else { return }
        tasks[task]?.leases[index].epoch = epoch
    }

    private mutating func grant(_ task: TaskID, to worker: WorkerID, at now: Double, isHedge: Bool) -> Lease {
        let expected = tasks[task].flatMap { costs.expectedSeconds(units: $0.units, on: worker) }
        let lease = Lease(
            task: task, worker: worker, seconds: expected.map { max(Self.shortestLease, 4 * $0) } ?? Self.firstLease,
            startedAt: now, progressAt: now, isHedge: isHedge)
        tasks[task]?.leases.append(lease)
        workers[worker]?.tasks.append(task)
        workers[worker]?.isIdle = false
        return lease
    }

    /// What the holder still needs: by its speed, and, once it is late, as long again as it is late.
    private func secondsLeft(of lease: Lease, units: Double, at now: Double) -> Double {
        let elapsed = now - lease.startedAt
        guard let expected = costs.expectedSeconds(units: units, on: lease.worker) else { return elapsed }
        return max(expected - elapsed, elapsed - expected)
    }

    private func fits(units: Double, worker: WorkerID, endsAt: Double, at now: Double) -> Bool {
        guard endsAt.isFinite else { return true }
        guard let expected = costs.expectedSeconds(units: units, on: worker) else { return endsAt > now }
        return now + 1.25 * expected + 2 < endsAt
    }

    private func hasOther(than failed: Set<WorkerID>) -> Bool { workers.keys.contains { !failed.contains($0) } }

    private mutating func takeBack(from worker: WorkerID) -> [Lease] {
        let leases = (workers[worker]?.tasks ?? []).sorted().compactMap { release($0, from: worker) }
        queue.returnToFront(leases.map(\.task).filter { tasks[$0]?.leases.isEmpty == true })
        return leases
    }

    /// Ends a lease; the task is neither queued nor forgotten.
    private mutating func release(_ task: TaskID, from worker: WorkerID) -> Lease? {
        guard let index = tasks[task]?.leases.firstIndex(where: { $0.worker == worker }) else { return nil }
        workers[worker]?.tasks.removeAll { $0 == task }
        return tasks[task]?.leases.remove(at: index)
    }
}
