import Basics
import COpenBLAS
import Dispatch
import Synchronization

/// The BLAS library behind the matrix products, and the number of threads of this process.
///
/// Norms and elementwise operations use the same number of threads. Results do not depend on it (see ``ProductGrid``).
/// They may differ in the last bits between core types, so record ``coreName`` with a measurement.
public enum BLAS {
    private static let threads = Atomic(initialThreadCount())

    /// Limits OpenBLAS to one thread: it partitions a product by its thread count, which changes the last bits.
    private static func initialThreadCount() -> Int {
        defer { openblas_set_num_threads(1) }
        return max(1, min(Int(openblas_get_num_threads()), AvailableProcessors.current.count))
    }

    /// Sets the number of threads for all operations of this process; at least 1.
    public static func setThreadCount(_ count: Int) {
        precondition(count >= 1, "\(count) threads")
        threads.store(count, ordering: .relaxed)
    }

    /// The number of threads for all operations of this process; initially OpenBLAS's default (`OPENBLAS_NUM_THREADS`
    /// or the number of processors), at most ``CPU/availableCount``.
    public static var threadCount: Int { threads.load(ordering: .relaxed) }

    /// The core type that OpenBLAS selected its kernels for, such as `SkylakeX`.
    public static var coreName: String { String(cString: openblas_get_corename()) }

    /// The library's name and version, such as `OpenBLAS 0.3.21`.
    public static var version: String {
        String(cString: openblas_get_config()).split(separator: " ").prefix(2).joined(separator: " ")
    }
}

/// The partition of a matrix product into blocks, each computed by one thread.
///
/// It depends on the product's shape alone, so results are bit-identical for any number of threads.
struct ProductGrid: Equatable {
    /// Minimum multiplications per block: some tens of microseconds of work.
    static let minBlockWork = 1 << 21
    /// Maximum number of blocks; more would not balance the load any better.
    static let maxBlockCount = 64
    /// Minimum side of a block, because every block reads its share of both inputs again.
    static let minBlockSide = 96

    private(set) var rowParts = 1
    private(set) var columnParts = 1

    /// Halves the longer side of the blocks until there are enough of them or they are too small to split.
    init(rows: Int, columns: Int, depth: Int) {
        let targetCount = min(Self.maxBlockCount, rows * columns * depth / Self.minBlockWork)
        while 2 * count <= targetCount {
            let (height, width) = (rows / rowParts, columns / columnParts)
            guard max(height, width) >= 2 * Self.minBlockSide else { return }
            if height > width { rowParts *= 2 } else { columnParts *= 2 }
        }
    }

    /// The number of blocks.
    var count: Int { rowParts * columnParts }

    /// Part `index` of `parts` of `0..<count`, aligned to the kernels' tiles.
    static func share(_ index: Int, of parts: Int, in count: Int) -> Range<Int> {
        let tile = 16
        let tiles = (count + tile - 1) / tile
        return min(count, tiles * index / parts * tile)..<min(count, tiles * (index + 1) / parts * tile)
    }
}

/// Matrix product `c = a · b + beta · c`, or with `bᵀ` if `transposeB`.
///
/// All matrices are row-major, c is `[rows, columns]`. Does not check bounds.
func sgemm(
    _ a: UnsafePointer<Float>, aStride: Int, _ b: UnsafePointer<Float>, bStride: Int, transposeB: Bool,
    beta: Float = 0, into c: UnsafeMutablePointer<Float>, cStride: Int, rows: Int, columns: Int,
    depth: Int
) {
    guard rows > 0 && columns > 0 else { return }
    let grid = ProductGrid(rows: rows, columns: columns, depth: depth)
    inParallel(grid.count, elementsPerItem: ProductGrid.minBlockWork) { blocks in
        for block in blocks {
            let rows = ProductGrid.share(block / grid.columnParts, of: grid.rowParts, in: rows)
            let columns = ProductGrid.share(block % grid.columnParts, of: grid.columnParts, in: columns)
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, Int32(rows.count),
                Int32(columns.count), Int32(depth), 1, a + rows.lowerBound * aStride, Int32(max(aStride, 1)),
                b + columns.lowerBound * (transposeB ? bStride : 1), Int32(max(bStride, 1)), beta,
                c + rows.lowerBound * cStride + columns.lowerBound, Int32(cStride))
        }
    }
}

/// Splits `0..<count` into ranges and calls `body` with each, on up to ``BLAS/threadCount`` threads if the work is worth
/// it.
///
/// An item's result must not depend on the range it comes in, so that results do not depend on the thread count.
///
/// - Parameters:
///   - count: The number of items.
///   - elementsPerItem: Floats processed per item.
///   - body: Writes only the results of the items in its range.
func inParallel(_ count: Int, elementsPerItem: Int, _ body: (Range<Int>) -> Void) {
    // Waking a thread pays off for some tens of microseconds of work.
    let worthwhileElements = 1 << 16
    let threads = min(BLAS.threadCount, count, count * elementsPerItem / worthwhileElements)
    guard threads > 1 else {
        body(0..<count)
        return
    }
    withoutActuallyEscaping(body) { body in
        // Safe: the ranges are disjoint, an item writes only its own results, and the call waits for all iterations.
        nonisolated(unsafe) let body = body
        DispatchQueue.concurrentPerform(iterations: threads) { index in
            body((count * index / threads)..<(count * (index + 1) / threads))
        }
    }
}
