import DequeModule

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
