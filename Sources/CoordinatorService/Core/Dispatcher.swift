import DequeModule
import History

/// Leases work items to workers.
///
/// A pure value: events and the current time are passed in. The length of a lease is estimated from earlier tasks, and
/// heartbeats that show progress renew it. The items of a worker that leaves, falls silent or stalls return to the front
/// of the queue. Once the queue is empty, the items expected to take longest are also leased to idle workers (hedges);
/// the first result counts.
struct Dispatcher {
    /// A worker's row in the history.
    typealias WorkerID = Int64

    /// An item leased to a worker.
    struct Lease: Equatable {
        let item: WorkItem.ID
        let worker: WorkerID
        /// 1 for the item's first lease.
        let epoch: Int
        /// Seconds without progress after which it expires.
        let seconds: Double
        let startedAt: Double
        /// When the worker last finished an image.
        var progressAt: Double
        var imagesDone = 0
        /// Whether another worker held the item already.
        let isHedge: Bool

        /// The lease in the history; nil for items that the history does not know.
        var key: LeaseKey? {
            guard case .evaluation(let taskID) = item else { return nil }
            return LeaseKey(taskID: taskID, epoch: epoch)
        }
    }

    /// A lease that ended without a result; a result that arrives later is still valid.
    struct PastLease: Equatable {
        let worker: WorkerID
        var outcome: LeaseOutcome
    }

    /// Why a worker lost its leases.
    enum Loss: Equatable {
        /// No message for ``Dispatcher/silenceLimit``.
        case silent
        /// Heartbeats without progress.
        case stalled
    }

    /// What follows from a failure.
    enum Verdict: Equatable {
        case retry
        case giveUp
        /// The reporting worker does not hold the item.
        case ignored
    }

    /// An open item: queued, leased, or both.
    struct Entry {
        let item: WorkItem
        var failedBy: Set<WorkerID> = []
        var failures = 0
        var excluded: Set<WorkerID> = []
        var leases: [Lease] = []
        var pastLeases: [Int: PastLease] = [:]
        /// Leases granted so far; the epoch of the latest one.
        var attempts = 0
    }

    struct WorkerEntry {
        var lastHeard: Double
        var isIdle = false
        /// When the batch system ends the worker.
        var endsAt = Double.infinity
        var items: [WorkItem.ID] = []
    }

    /// Different workers that must fail at an item before it is given up.
    static let failureLimit = 3
    /// Workers that may hold an item at once.
    static let holderLimit = 2
    /// The shortest lease in seconds, so that a brief slowdown does not end it.
    static let shortestLease = 60.0
    /// The lease in seconds before anything has been measured.
    static let firstLease = 86_400.0

    /// Seconds without a message after which a worker is lost.
    let silenceLimit: Double

    private(set) var costs = TaskCosts()
    private(set) var entries: [WorkItem.ID: Entry] = [:]
    private(set) var workers: [WorkerID: WorkerEntry] = [:]
    private var queue = WorkQueue()
    private var idle: [WorkerID] = []
    private var hedgedAt = -Double.infinity

    init(silenceLimit: Double) {
        self.silenceLimit = silenceLimit
    }

    var workerCount: Int { workers.count }

    /// Whether a worker is idle; after ``lease(at:retiring:)`` returned nil, because no queued item suits it.
    var hasIdleWorkers: Bool { !idle.isEmpty }

    var recheckCount: Int { entries.keys.count(where: \.isRecheck) }

    var hasRechecks: Bool { entries.keys.contains(where: \.isRecheck) }

    /// The lease of an item to a worker.
    func lease(of item: WorkItem.ID, to worker: WorkerID) -> Lease? {
        entries[item]?.leases.first { $0.worker == worker }
    }

    /// Whether an item waits for its first or another holder.
    func isQueued(_ item: WorkItem.ID) -> Bool { queue.contains(item) }

    // MARK: - Items

    /// Queues an item.
    ///
    /// - Parameters:
    ///   - item: The item; ignored if it is open already.
    ///   - failedBy: Workers that have failed at it.
    ///   - excluded: Workers that must not compute it.
    ///   - attempts: Leases granted before, so that epochs are never reused.
    ///   - pastLeases: Leases that ended, by epoch.
    ///   - isFirst: Whether it goes to the front of the queue.
    mutating func add(
        _ item: WorkItem, failedBy: Set<WorkerID> = [], excluding excluded: Set<WorkerID> = [], attempts: Int = 0,
        pastLeases: [Int: PastLease] = [:], isFirst: Bool = false
    ) {
        guard entries[item.id] == nil else { return }
        entries[item.id] = Entry(
            item: item, failedBy: failedBy, failures: failedBy.count, excluded: excluded, pastLeases: pastLeases,
            attempts: attempts)
        if isFirst { queue.returnToFront([item.id]) } else { queue.append(item.id) }
    }

    /// Removes an item that has its result or was given up.
    ///
    /// - Returns: Its leases, which end.
    @discardableResult
    mutating func remove(_ item: WorkItem.ID) -> [Lease] {
        queue.remove(item)
        guard let entry = entries.removeValue(forKey: item) else { return [] }
        for lease in entry.leases { workers[lease.worker]?.items.removeAll { $0 == item } }
        return entry.leases
    }

    /// Records what a finished item cost.
    mutating func recordCost(seconds: Double, units: Double, of worker: WorkerID) {
        costs.record(seconds: seconds, units: units, by: worker)
    }

    /// Records a failure; unless another worker holds the item or it is given up, it goes to the end of the queue.
    mutating func recordFailure(of item: WorkItem.ID, by worker: WorkerID) -> Verdict {
        guard release(item, from: worker, .failed) != nil else { return .ignored }
        entries[item]?.failedBy.insert(worker)
        entries[item]?.failures += 1
        let verdict = verdict(on: item)
        if verdict == .retry, entries[item]?.leases.isEmpty == true { queue.append(item) }
        return verdict
    }

    /// Records that a past lease ended because the item crashed the worker's process.
    mutating func recordCrash(of item: WorkItem.ID, epoch: Int) -> Verdict {
        guard let past = entries[item]?.pastLeases[epoch], past.outcome != .failed else { return .ignored }
        entries[item]?.pastLeases[epoch]?.outcome = .failed
        entries[item]?.failedBy.insert(past.worker)
        entries[item]?.failures += 1
        return verdict(on: item)
    }

    private func verdict(on item: WorkItem.ID) -> Verdict {
        guard let entry = entries[item] else { return .ignored }
        let hasUntriedWorker = workers.keys.contains { !entry.failedBy.contains($0) && !entry.excluded.contains($0) }
        let isHopeless =
            entry.failedBy.count >= Self.failureLimit || !hasUntriedWorker && entry.failures >= Self.failureLimit
        return isHopeless ? .giveUp : .retry
    }

    // MARK: - Workers

    /// Records a sign of life.
    mutating func recordMessage(from worker: WorkerID, at now: Double) {
        workers[worker, default: WorkerEntry(lastHeard: now)].lastHeard = now
    }

    /// Records how far a worker is with an item; renews the lease if it has got further.
    mutating func recordProgress(of worker: WorkerID, on item: WorkItem.ID, imagesDone: Int, at now: Double) {
        guard let index = entries[item]?.leases.firstIndex(where: { $0.worker == worker }),
            let done = entries[item]?.leases[index].imagesDone, imagesDone > done
        else { return }
        entries[item]?.leases[index].imagesDone = imagesDone
        entries[item]?.leases[index].progressAt = now
    }

    /// Handles a worker's request for work; a worker that holds nothing is idle from now on.
    ///
    /// - Parameters:
    ///   - worker: The worker.
    ///   - secondsLeft: Seconds until its batch system ends it.
    ///   - now: Seconds.
    /// - Returns: The worker's leases. Their assignments may have been lost, and are sent again.
    mutating func request(by worker: WorkerID, secondsLeft: Double? = nil, at now: Double) -> [Lease] {
        recordMessage(from: worker, at: now)
        workers[worker]?.endsAt = secondsLeft.map { now + $0 } ?? .infinity
        let held = (workers[worker]?.items ?? []).compactMap { lease(of: $0, to: worker) }
        if held.isEmpty, workers[worker]?.isIdle == false {
            workers[worker]?.isIdle = true
            idle.append(worker)
        }
        return held
    }

    /// Removes a worker; its items return to the front of the queue unless another worker holds them.
    ///
    /// - Returns: Its leases, which end with the outcome.
    mutating func remove(_ worker: WorkerID, _ outcome: LeaseOutcome) -> [Lease] {
        let ended = releaseAll(from: worker, outcome)
        if workers.removeValue(forKey: worker)?.isIdle == true { idle.removeAll { $0 == worker } }
        return ended
    }

    private mutating func releaseAll(from worker: WorkerID, _ outcome: LeaseOutcome) -> [Lease] {
        let leases = (workers[worker]?.items ?? []).sorted().compactMap { release($0, from: worker, outcome) }
        queue.returnToFront(leases.map(\.item).filter { entries[$0]?.leases.isEmpty == true })
        return leases
    }

    /// Ends a lease; the item is neither queued nor removed.
    private mutating func release(_ item: WorkItem.ID, from worker: WorkerID, _ outcome: LeaseOutcome) -> Lease? {
        guard let index = entries[item]?.leases.firstIndex(where: { $0.worker == worker }),
            let lease = entries[item]?.leases.remove(at: index)
        else { return nil }
        workers[worker]?.items.removeAll { $0 == item }
        entries[item]?.pastLeases[lease.epoch] = PastLease(worker: worker, outcome: outcome)
        return lease
    }

    // MARK: - Leases

    /// Leases the next suitable item to the worker that has been idle longest.
    ///
    /// - Parameters:
    ///   - now: Seconds.
    ///   - retiring: Receives idle workers that will be ended before they could finish any queued item.
    /// - Returns: Nil if no queued item suits an idle worker.
    mutating func lease(at now: Double, retiring: inout [WorkerID]) -> Lease? {
        var passedOver: [WorkerID] = []
        defer { idle.insert(contentsOf: passedOver, at: 0) }
        while !idle.isEmpty, !queue.isEmpty {
            let worker = idle.removeFirst()
            guard let state = workers[worker] else { continue }
            var isTimeTooShort = false
            // The predicate reads self, so the queue is moved out of it meanwhile.
            var queue = self.queue
            self.queue = WorkQueue()
            let item = queue.popFirst { item in
                guard let entry = entries[item], !entry.excluded.contains(worker) else { return false }
                if entry.failedBy.contains(worker), hasWorker(besides: entry.failedBy) { return false }
                let fits = fits(entry.item.units, on: worker, endsAt: state.endsAt, at: now)
                if !fits { isTimeTooShort = true }
                return fits
            }
            self.queue = queue
            if let item { return grant(item, to: worker, at: now, isHedge: false) }
            if isTimeTooShort {
                workers[worker]?.isIdle = false
                retiring.append(worker)
            } else {
                passedOver.append(worker)
            }
        }
        return nil
    }

    /// Also leases slow items to idle workers that are expected to finish them sooner.
    ///
    /// Does nothing more often than once a second; called after ``lease(at:retiring:)`` has returned nil.
    mutating func hedge(at now: Double) -> [Lease] {
        guard !idle.isEmpty, now - hedgedAt >= 1 else { return [] }
        hedgedAt = now
        var slow: [(lease: Lease, left: Double)] = entries.values.compactMap { entry in
            guard case .evaluation = entry.item.work, let lease = entry.leases.first,
                entry.leases.count < Self.holderLimit
            else { return nil }
            return (lease, secondsLeft(of: lease, units: entry.item.units, at: now))
        }
        slow.sort { $0.left == $1.left ? $0.lease.item < $1.lease.item : $0.left > $1.left }
        var granted: [Lease] = []
        for (lease, left) in slow {
            guard let entry = entries[lease.item] else { continue }
            let position = idle.firstIndex { worker in
                guard let state = workers[worker], !entry.excluded.contains(worker), !entry.failedBy.contains(worker),
                    fits(entry.item.units, on: worker, endsAt: state.endsAt, at: now)
                else { return false }
                guard let expected = costs.expectedSeconds(units: entry.item.units, on: worker) else {
                    // Nothing has been measured: hedge after a minute.
                    return now - lease.startedAt > Self.shortestLease
                }
                return expected + 1 < left
            }
            guard let position else { continue }
            granted.append(grant(lease.item, to: idle.remove(at: position), at: now, isHedge: true))
            if idle.isEmpty { break }
        }
        return granted
    }

    private mutating func grant(_ item: WorkItem.ID, to worker: WorkerID, at now: Double, isHedge: Bool) -> Lease {
        let units = entries[item]?.item.units ?? 0
        entries[item]?.attempts += 1
        let lease = Lease(
            item: item, worker: worker, epoch: entries[item]?.attempts ?? 1,
            seconds: costs.expectedSeconds(units: units, on: worker).map { max(Self.shortestLease, 4 * $0) }
                ?? Self.firstLease,
            startedAt: now, progressAt: now, isHedge: isHedge)
        entries[item]?.leases.append(lease)
        workers[worker]?.items.append(item)
        workers[worker]?.isIdle = false
        return lease
    }

    /// Seconds until the holder is expected to finish; an overdue one is assumed to need as long again as it is overdue.
    private func secondsLeft(of lease: Lease, units: Double, at now: Double) -> Double {
        let elapsed = now - lease.startedAt
        guard let expected = costs.expectedSeconds(units: units, on: lease.worker) else { return elapsed }
        return max(expected - elapsed, elapsed - expected)
    }

    private func fits(_ units: Double, on worker: WorkerID, endsAt: Double, at now: Double) -> Bool {
        guard endsAt.isFinite else { return true }
        guard let expected = costs.expectedSeconds(units: units, on: worker) else { return endsAt > now }
        return now + 1.25 * expected + 2 < endsAt
    }

    private func hasWorker(besides failed: Set<WorkerID>) -> Bool { workers.keys.contains { !failed.contains($0) } }

    // MARK: - Time

    /// Removes silent workers, and ends the leases of stalled ones, which may request other work.
    mutating func expire(at now: Double) -> [(worker: WorkerID, loss: Loss, leases: [Lease])] {
        var lost: [(worker: WorkerID, loss: Loss, leases: [Lease])] = []
        for worker in workers.filter({ now - $0.value.lastHeard > silenceLimit }).keys.sorted() {
            lost.append((worker, .silent, remove(worker, .lost)))
        }
        let stalled = workers.filter { worker, state in
            state.items.contains { lease(of: $0, to: worker).map { now - $0.progressAt > $0.seconds } ?? false }
        }
        for worker in stalled.keys.sorted() { lost.append((worker, .stalled, releaseAll(from: worker, .expired))) }
        return lost
    }

    /// Workers that hold an item and from which no message has arrived for a number of seconds.
    func quietHolders(for seconds: Double, at now: Double) -> [WorkerID] {
        workers.filter { now - $0.value.lastHeard > seconds && !$0.value.items.isEmpty }.keys.sorted()
    }
}

/// The queue of work items; items that were handed back come first.
///
/// Removal only marks an item, which is skipped when it reaches the front.
struct WorkQueue {
    private var items: Deque<WorkItem.ID> = []
    private var members: Set<WorkItem.ID> = []

    var count: Int { members.count }

    var isEmpty: Bool { members.isEmpty }

    func contains(_ item: WorkItem.ID) -> Bool { members.contains(item) }

    mutating func append(_ item: WorkItem.ID) {
        if members.insert(item).inserted { items.append(item) }
    }

    /// Inserts items at the front, in their order.
    mutating func returnToFront(_ returned: [WorkItem.ID]) {
        for item in returned.reversed() where members.insert(item).inserted { items.prepend(item) }
    }

    mutating func remove(_ item: WorkItem.ID) { members.remove(item) }

    /// Removes and returns the first item that satisfies a predicate; the others keep their places.
    mutating func popFirst(where isSuitable: (WorkItem.ID) -> Bool) -> WorkItem.ID? {
        var passedOver: [WorkItem.ID] = []
        defer { items.prepend(contentsOf: passedOver) }
        while let item = items.popFirst() {
            guard members.contains(item) else { continue }
            guard isSuitable(item) else {
                passedOver.append(item)
                continue
            }
            members.remove(item)
            return item
        }
        return nil
    }
}
