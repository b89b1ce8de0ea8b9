import COpenBLAS

/// The BLAS library that computes matrix products, and how many threads it may use.
///
/// The thread count belongs to the process; the norms and elementwise operations of this module use as many. Results
/// may differ in the last bits between core types and thread counts, so both are worth recording with a measurement.
public enum BLAS {
    /// Sets the number of threads of this process's operations.
    ///
    /// - Parameter count: At least 1.
    public static func setThreadCount(_ count: Int) {
        precondition(count >= 1, "\(count) threads")
        openblas_set_num_threads(Int32(clamping: count))
    }

    /// The number of threads of this process's operations.
    public static var threadCount: Int { Int(openblas_get_num_threads()) }

    /// The kernels that OpenBLAS chose for this processor, such as `SkylakeX`.
    public static var coreName: String { String(cString: openblas_get_corename()) }

    /// The library's name and version, such as `OpenBLAS 0.3.21`.
    public static var version: String {
        String(cString: openblas_get_config()).split(separator: " ").prefix(2).joined(separator: " ")
    }
}

/// `c = alpha · a · b + beta · c`, with `b` transposed if asked; c is `[rows, columns]`, row-major, without checks.
func sgemm(
    _ a: UnsafePointer<Float>, aStride: Int, _ b: UnsafePointer<Float>, bStride: Int, transposeB: Bool,
    alpha: Float = 1, beta: Float = 0, into c: UnsafeMutablePointer<Float>, cStride: Int, rows: Int, columns: Int,
    depth: Int
) {
    guard rows > 0 && columns > 0 else { return }
    cblas_sgemm(
        CblasRowMajor, CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, Int32(rows), Int32(columns), Int32(depth),
        alpha, a, Int32(max(aStride, 1)), b, Int32(max(bStride, 1)), beta, c, Int32(cStride))
}
