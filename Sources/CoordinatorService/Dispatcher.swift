/// Who works on what: a value without sockets, clocks or files, told what happens and when.
///
/// A task is leased to one worker at a time, and a lease lives as long as its worker is heard from. The tasks of a
/// worker that leaves or falls silent go back to the front of the queue.
struct Dispatcher {
    /// The number of a task in the history.
    typealias TaskID = Int64
    /// The number of a worker in the history.
    typealias WorkerID = Int64

    /// Seconds of silence after which a worker is given up.
    let silenceLimit: Double

    private var pending: [TaskID] = []
    private var workerOfTask: [TaskID: WorkerID] = [:]
    private var lastHeard: [WorkerID: Double] = [:]
    private var idle: [WorkerID] = []

    /// An empty dispatcher.
    init(silenceLimit: Double) {
        self.silenceLimit = silenceLimit
    }

    /// Tasks that are neither done nor given up.
    var openTaskCount: Int { pending.count + workerOfTask.count }

    /// Workers that were heard from and have not left.
    var workerCount: Int { lastHeard.count }

    /// True if a worker is idle for want of tasks.
    var isHungry: Bool { pending.isEmpty && !idle.isEmpty }

    /// The worker that a task is leased to.
    func worker(of task: TaskID) -> WorkerID? { workerOfTask[task] }

    /// The tasks that a worker holds, in the order of their numbers.
    func tasks(of worker: WorkerID) -> [TaskID] {
        workerOfTask.filter { $0.value == worker }.keys.sorted()
    }

    /// Queues tasks, in order.
    mutating func add(_ tasks: [TaskID]) {
        pending += tasks
    }

    /// Notes that a worker is alive.
    mutating func hear(from worker: WorkerID, at now: Double) {
        lastHeard[worker] = now
    }

    /// Notes that a worker is free.
    ///
    /// One that held a task has lost it: the task goes back to the front of the queue.
    ///
    /// - Returns: The tasks it held.
    mutating func free(_ worker: WorkerID, at now: Double) -> [TaskID] {
        hear(from: worker, at: now)
        let returned = takeBack(from: worker)
        if !idle.contains(worker) { idle.append(worker) }
        return returned
    }

    /// Leases the first waiting task to the worker that has been idle the longest; nil while there is no such pair.
    mutating func lease() -> (task: TaskID, worker: WorkerID)? {
        guard !pending.isEmpty, !idle.isEmpty else { return nil }
        let (task, worker) = (pending.removeFirst(), idle.removeFirst())
        workerOfTask[task] = worker
        return (task, worker)
    }

    /// Notes that a task's result is in the history, or that the task was given up.
    mutating func finish(_ task: TaskID) {
        pending.removeAll { $0 == task }
        workerOfTask[task] = nil
    }

    /// Puts a task that failed back at the end of the queue, if it is still that worker's.
    mutating func retry(_ task: TaskID, from worker: WorkerID) {
        guard workerOfTask[task] == worker else { return }
        workerOfTask[task] = nil
        pending.append(task)
    }

    /// Forgets a worker that has left.
    ///
    /// - Returns: The tasks it held; they are first in the queue again.
    mutating func leave(_ worker: WorkerID) -> [TaskID] {
        lastHeard[worker] = nil
        idle.removeAll { $0 == worker }
        return takeBack(from: worker)
    }

    /// Gives up the workers that have been silent for too long.
    mutating func expire(at now: Double) -> [(worker: WorkerID, tasks: [TaskID])] {
        lastHeard.filter { now - $0.value > silenceLimit }.keys.sorted().map { ($0, leave($0)) }
    }

    private mutating func takeBack(from worker: WorkerID) -> [TaskID] {
        let returned = tasks(of: worker)
        for task in returned { workerOfTask[task] = nil }
        pending.insert(contentsOf: returned, at: 0)
        return returned
    }
}
