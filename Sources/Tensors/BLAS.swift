import COpenBLAS
import Synchronization

/// The BLAS library that computes matrix products, and how many threads it may use.
///
/// The thread count belongs to the process; the norms and elementwise operations of this module use as many. Results
/// do not depend on it: see ``ProductGrid``. They may differ in the last bits between core types, which are worth
/// recording with a measurement.
public enum BLAS {
    private static let threads = Atomic(takeOverThreads())

    /// The library's own threads cut a product by their number, which moves its last bits: it gets one.
    private static func takeOverThreads() -> Int {
        defer { openblas_set_num_threads(1) }
        return max(1, Int(openblas_get_num_threads()))
    }

    /// Sets the number of threads of this process's operations.
    ///
    /// - Parameter count: At least 1.
    public static func setThreadCount(_ count: Int) {
        precondition(count >= 1, "\(count) threads")
        threads.store(count, ordering: .relaxed)
    }

    /// The number of threads of this process's operations; at first what OpenBLAS takes from the environment
    /// (`OPENBLAS_NUM_THREADS`) or the processors.
    public static var threadCount: Int { threads.load(ordering: .relaxed) }

    /// The kernels that OpenBLAS chose for this processor, such as `SkylakeX`.
    public static var coreName: String { String(cString: openblas_get_corename()) }

    /// The library's name and version, such as `OpenBLAS 0.3.21`.
    public static var version: String {
        String(cString: openblas_get_config()).split(separator: " ").prefix(2).joined(separator: " ")
    }
}

/// How a matrix product is cut into blocks that are computed by one thread each.
///
/// The cut follows from the product's shape alone, so a result has the same bits with any number of threads.
struct ProductGrid: Equatable {
    /// The fewest multiplications worth a block: some tens of microseconds.
    static let leastWork = 1 << 21
    /// The most blocks; more would not be shared out any better.
    static let mostBlocks = 64
    /// The shortest side of a block: each block reads its share of both inputs anew.
    static let shortestSide = 96

    private(set) var rowParts = 1
    private(set) var columnParts = 1

    /// Halves the longer side of the blocks until they are many enough or small enough.
    init(rows: Int, columns: Int, depth: Int) {
        let wanted = min(Self.mostBlocks, rows * columns * depth / Self.leastWork)
        while 2 * count <= wanted {
            let (height, width) = (rows / rowParts, columns / columnParts)
            guard max(height, width) >= 2 * Self.shortestSide else { return }
            if height > width { rowParts *= 2 } else { columnParts *= 2 }
        }
    }

    /// The number of blocks.
    var count: Int { rowParts * columnParts }

    /// The share `index` of `parts` in `count`, cut at whole multiples of the kernels' tiles.
    static func share(_ index: Int, of parts: Int, in count: Int) -> Range<Int> {
        let tile = 16
        let tiles = (count + tile - 1) / tile
        return min(count, tiles * index / parts * tile)..<min(count, tiles * (index + 1) / parts * tile)
    }
}

/// `c = alpha · a · b + beta · c`, with `b` transposed if asked; c is `[rows, columns]`, row-major, without checks.
func sgemm(
    _ a: UnsafePointer<Float>, aStride: Int, _ b: UnsafePointer<Float>, bStride: Int, transposeB: Bool,
    alpha: Float = 1, beta: Float = 0, into c: UnsafeMutablePointer<Float>, cStride: Int, rows: Int, columns: Int,
    depth: Int
) {
    guard rows > 0 && columns > 0 else { return }
    let grid = ProductGrid(rows: rows, columns: columns, depth: depth)
    inParallel(grid.count, elementsPerItem: ProductGrid.leastWork) { blocks in
        for block in blocks {
            let rows = ProductGrid.share(block / grid.columnParts, of: grid.rowParts, in: rows)
            let columns = ProductGrid.share(block % grid.columnParts, of: grid.columnParts, in: columns)
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, Int32(rows.count),
                Int32(columns.count), Int32(depth), alpha, a + rows.lowerBound * aStride, Int32(max(aStride, 1)),
                b + columns.lowerBound * (transposeB ? bStride : 1), Int32(max(bStride, 1)), beta,
                c + rows.lowerBound * cStride + columns.lowerBound, Int32(cStride))
        }
    }
}
