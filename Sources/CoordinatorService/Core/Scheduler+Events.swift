import History
import Messages

// What a scheduler is told, and what it answers.
extension Scheduler {
    /// What happened.
    enum Event {
        /// Tasks were inserted into the history, or reopened there.
        case added([TaskRecord])
        /// A task was replaced by one for each of its candidates.
        case split(into: [TaskRecord], Blame)
        case contactSheetRequested(ContactSheet)
        case joined(WorkerID)
        /// The worker's canary matched; from now on it gets work.
        case verified(WorkerID)
        /// The worker is gone; its leases end with the outcome.
        case left(WorkerID, LeaseOutcome)
        /// A message of any kind arrived from the worker.
        case heard(WorkerID)
        case heartbeat(Heartbeat, WorkerID)
        case request(TaskRequest, WorkerID)
        case result(Messages.TaskResult, WorkerID)
        case failure(TaskFailure, WorkerID)
        /// Time has passed.
        case tick
        /// Everything that arrived has been handled: assign what is queued.
        case assign
        /// No more work can be created: lease slow items a second time.
        case hedge
    }

    /// What follows from an event.
    enum Effect {
        // Persist.
        case recordLease(LeaseKey, WorkerID, seconds: Double)
        case endLease(LeaseKey, LeaseOutcome)
        case recordCrash(LeaseKey)
        case commit(History.TaskResult)
        case fail(TaskRecord, reason: String)
        /// Answered by ``Event/split(into:_:)``.
        case split(TaskRecord, reason: String, Blame)
        case recordRecheck(RecheckRecord)
        /// Distrust a worker and discard its results; answered by ``Event/added(_:)``.
        case quarantine(WorkerID, reason: String)
        case storeContactSheet(Messages.TaskResult, ContactSheet)

        // Send.
        case assign(Lease, WorkItem)
        case cancel(Lease)
        case acknowledge(Messages.TaskResult, WorkerID, accepted: Bool)
        case acknowledgeFailure(TaskFailure, WorkerID)
        /// Send something harmless, so that a broken connection is noticed.
        case ping(WorkerID)
        case dismiss(WorkerID, reason: String)

        // Report.
        /// Candidates may have all their results; the run decides.
        case evaluationsClosed
        case lost(WorkerID)
        case unknownLease(WorkerID, taskID: Int64)
        case log(WorkerID?, String, taskID: Int64?)
    }

    /// Who reported a failure, and of which of the task's candidates if that is known.
    struct Blame {
        let worker: WorkerID
        let candidate: Int64?
    }
}
