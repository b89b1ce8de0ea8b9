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
    var tasks: [TaskID: TaskEntry] = [:]
    var workers: [WorkerID: WorkerEntry] = [:]
    var queue = TaskQueue()
    var idle: [WorkerID] = []
    var hedgedAt = -Double.infinity

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

    /// True if a worker is idle: once ``lease(at:retiring:)`` has returned nil, for want of tasks that it may have.
    var isHungry: Bool { !idle.isEmpty }

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

    /// Notes that a worker asks for a task.
    ///
    /// - Parameters:
    ///   - worker: The worker.
    ///   - now: Seconds.
    ///   - secondsLeft: How long its batch system lets it live.
    /// - Returns: What it holds: the answer to an earlier request is still on its way, or was lost with a connection,
    ///   and may be sent again. A worker that holds nothing is idle from now on.
    mutating func free(_ worker: WorkerID, at now: Double, secondsLeft: Double? = nil) -> [Lease] {
        hear(from: worker, at: now)
        workers[worker]?.endsAt = secondsLeft.map { now + $0 } ?? .infinity
        let held = (workers[worker]?.tasks ?? []).compactMap { lease(of: $0, to: worker) }
        if held.isEmpty, workers[worker]?.isIdle == false {
            workers[worker]?.isIdle = true
            idle.append(worker)
        }
        return held
    }

    /// Forgets a worker that has left.
    ///
    /// - Returns: What it held; the tasks are first in the queue again.
    mutating func leave(_ worker: WorkerID) -> [Lease] {
        let returned = takeBack(from: worker)
        if workers.removeValue(forKey: worker)?.isIdle == true { idle.removeAll { $0 == worker } }
        return returned
    }

    mutating func takeBack(from worker: WorkerID) -> [Lease] {
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
