/// The tasks that wait for a worker, in order; those that were handed back come first.
///
/// Removing a task only marks it: it is passed over when its turn comes.
struct TaskQueue {
    private var returned: [Int64] = []
    private var waiting: [Int64] = []
    private var head = 0
    private var members: Set<Int64> = []

    /// Tasks that wait.
    var count: Int { members.count }

    /// True if nothing waits.
    var isEmpty: Bool { members.isEmpty }

    /// Whether a task waits.
    func contains(_ task: Int64) -> Bool { members.contains(task) }

    /// Puts a task at the end.
    mutating func append(_ task: Int64) {
        if members.insert(task).inserted { waiting.append(task) }
    }

    /// Puts tasks in front, the first of them first.
    mutating func returnToFront(_ tasks: [Int64]) {
        for task in tasks.reversed() where members.insert(task).inserted { returned.append(task) }
    }

    /// Takes a task out.
    mutating func remove(_ task: Int64) { members.remove(task) }

    /// Takes the first task that will do.
    ///
    /// - Parameter isAcceptable: Whether a task will do; the others keep their places.
    /// - Returns: Nil if none will.
    mutating func popFirst(where isAcceptable: (Int64) -> Bool) -> Int64? {
        var passedOver: [Int64] = []
        defer { returned.append(contentsOf: passedOver.reversed()) }
        while let task = popAny() {
            guard members.contains(task) else { continue }
            guard isAcceptable(task) else {
                passedOver.append(task)
                continue
            }
            members.remove(task)
            return task
        }
        return nil
    }

    private mutating func popAny() -> Int64? {
        if let task = returned.popLast() { return task }
        guard head < waiting.count else { return nil }
        defer { head += 1 }
        if head > 1_024, head > waiting.count / 2 {
            waiting.removeFirst(head)
            head = 0
        }
        return waiting[head]
    }
}
