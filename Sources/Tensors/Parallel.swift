import Dispatch

/// Calls `body` with ranges that together make up `0..<count`, on as many threads as the process may use when the work
/// is worth it.
///
/// Each item must be computed the same way in whatever range it comes, so results do not depend on the thread count.
///
/// - Parameters:
///   - count: The number of items.
///   - elementsPerItem: The numbers one item touches.
///   - body: Writes only what belongs to the items of its range.
func inParallel(_ count: Int, elementsPerItem: Int, _ body: (Range<Int>) -> Void) {
    // A thread is woken for some tens of microseconds of work, not for less.
    let worthwhileElements = 1 << 16
    let threads = min(BLAS.threadCount, count, count * elementsPerItem / worthwhileElements)
    guard threads > 1 else {
        body(0..<count)
        return
    }
    withoutActuallyEscaping(body) { body in
        // Safe: the ranges are disjoint, each item's results belong to it alone, and the call waits for all of them.
        nonisolated(unsafe) let body = body
        DispatchQueue.concurrentPerform(iterations: threads) { index in
            body((count * index / threads)..<(count * (index + 1) / threads))
        }
    }
}
