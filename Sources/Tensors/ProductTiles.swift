import CKernels
import Dispatch
import Synchronization

/// The pieces of a matrix product that threads take one after the other.
///
/// Every element is summed in the same order whatever piece it is in, so the division affects speed only.
struct ProductTiles {
    /// Minimum multiplications per piece: some tens of microseconds of work.
    static let minWork = 1 << 21
    /// Rows of a piece at most: they are read once for every panel of the weight and should stay in a cache.
    static let maxRows = 512

    let rows, columns: Int
    private let rowParts, panelsPerTile, columnParts: Int

    init(rows: Int, columns: Int, depth: Int) {
        self.rows = rows
        self.columns = columns
        rowParts = (rows + Self.maxRows - 1) / Self.maxRows
        let panels = (columns + Int(CK_PANEL) - 1) / Int(CK_PANEL)
        let panelWork = max(1, min(rows, Self.maxRows) * Int(CK_PANEL) * depth)
        panelsPerTile = max(1, Self.minWork / panelWork)
        columnParts = (panels + panelsPerTile - 1) / panelsPerTile
    }

    /// The number of pieces.
    var count: Int { rowParts * columnParts }

    /// Rows and columns of a piece; the rows vary last, so that threads at work share them.
    subscript(index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let (row, column) = index.quotientAndRemainder(dividingBy: columnParts)
        let width = panelsPerTile * Int(CK_PANEL)
        return (
            (rows * row / rowParts)..<(rows * (row + 1) / rowParts),
            (column * width)..<min(columns, (column + 1) * width)
        )
    }
}

/// Calls `body` with every item of `0..<count` and the index of the thread, on up to `threads` threads that take the next
/// item when they are done with one.
func inParallelItems(_ count: Int, threads: Int, _ body: (Int, Int) -> Void) {
    let threads = min(threads, count)
    guard threads > 1 else {
        for item in 0..<count { body(item, 0) }
        return
    }
    let next = Atomic(0)
    withoutActuallyEscaping(body) { body in
        // Safe: items write disjoint results, and the call waits for all threads.
        nonisolated(unsafe) let body = body
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            while true {
                let item = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard item < count else { return }
                body(item, thread)
            }
        }
    }
}
