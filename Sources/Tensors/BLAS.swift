import Basics
import COpenBLAS
import Dispatch
import Synchronization

/// The number of threads that compute in this process, and the BLAS library for products in double precision.
///
/// Results do not depend on the number of threads. OpenBLAS's differ in the last bits between core types.
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
