import History

/// A unit of work that a worker is leased.
struct WorkItem {
    /// Identifies an item among all that are open.
    enum ID: Hashable {
        /// An evaluation, by its task in the history.
        case evaluation(taskID: Int64)
        /// The recomputation of a finished task.
        case recheck(taskID: Int64)
        case contactSheet
        /// Reuse errors of an image, by its index among those to be measured.
        case reuseErrors(index: Int)
    }

    /// What is computed, and what the result is for.
    enum Work {
        /// A task of the history: candidates on images of the calibration prompts or of a benchmark's.
        case evaluation(TaskRecord)
        /// A finished task, recomputed by another worker to be compared.
        case recheck(Recheck)
        /// Images to look at, made once at the end of a run.
        case contactSheet(ContactSheet)
        /// What reuse changes in an image, measured before the search begins.
        case reuseErrors(ReuseMeasurement)
    }

    let work: Work

    init(_ work: Work) {
        self.work = work
    }

    /// The item of a task of the history.
    init(_ task: TaskRecord) {
        self.init(.evaluation(task))
    }

    var id: ID {
        switch work {
        case .evaluation(let task): .evaluation(taskID: task.id)
        case .recheck(let recheck): .recheck(taskID: recheck.task.id)
        case .contactSheet: .contactSheet
        case .reuseErrors(let measurement): .reuseErrors(index: measurement.index)
        }
    }

    /// Images times candidates, or the number of uncached images that take as long.
    var units: Double {
        switch work {
        case .evaluation(let task): task.units
        case .recheck(let recheck): recheck.task.units
        case .contactSheet(let sheet): sheet.units
        case .reuseErrors(let measurement): measurement.units
        }
    }
}

extension WorkItem.ID: Comparable {
    /// The item's `task_id` in messages.
    ///
    /// A recheck travels as another lease of its task; the history has no task 0, nor negative ones.
    var wireID: Int64 {
        switch self {
        case .evaluation(let taskID), .recheck(let taskID): taskID
        case .contactSheet: 0
        case .reuseErrors(let index): -1 - Int64(index)
        }
    }

    /// The items that a message with a `task_id` can refer to.
    static func candidates(wireID: Int64) -> [Self] {
        if wireID < 0 { return [.reuseErrors(index: Int(-1 - wireID))] }
        return wireID == 0 ? [.contactSheet] : [.evaluation(taskID: wireID), .recheck(taskID: wireID)]
    }

    var isRecheck: Bool {
        if case .recheck = self { true } else { false }
    }

    static func < (a: Self, b: Self) -> Bool {
        a.wireID == b.wireID ? !a.isRecheck && b.isRecheck : a.wireID < b.wireID
    }
}

extension TaskRecord {
    /// Images times candidates.
    var units: Double { Double(images.count * candidateIDs.count) }

    /// Whether it waits for a result.
    var isOpen: Bool { state == .pending || state == .leased }
}
