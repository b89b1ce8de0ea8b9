import COpenBLAS

/// The Frechet distance of two sets of features, each taken for a normal distribution (arXiv 1706.08500):
/// `|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½)`.
///
/// The trace of the root is that of the symmetric matrix `Σ₁^½ Σ₂ Σ₁^½`, which has the same eigenvalues: they are real and
/// not negative but for rounding, also where there are fewer images than features, and nothing has to be added to the
/// covariances.
public enum FrechetDistance {
    /// The distance.
    ///
    /// - Parameters:
    ///   - a: Statistics of at least two vectors.
    ///   - b: Statistics of at least two vectors of the same length.
    /// - Returns: The distance, never negative.
    /// - Throws: ``ScoringError/distance(_:)`` for too few vectors, and for features that are no numbers.
    public static func between(_ a: FeatureStatistics, _ b: FeatureStatistics) throws -> Double {
        guard a.width == b.width else {
            throw ScoringError.distance("the features of two sets differ in number, \(a.width) and \(b.width)")
        }
        guard a.count >= 2, b.count >= 2 else {
            throw ScoringError.distance(
                "a Frechet distance needs two images or more in each set, found \(a.count) and \(b.count)")
        }
        let n = a.width
        let (first, second) = (a.covariance(), b.covariance())
        var trace = 0.0
        for index in 0..<n { trace += first[index * n + index] + second[index * n + index] }
        let squares = zip(a.mean, b.mean).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        guard trace.isFinite, squares.isFinite else { throw ScoringError.distance("some features are no numbers") }

        // The rows of `root` are eigenvectors times the roots of their eigenvalues: rootᵀ · root = Σ₁.
        var root = first
        let values = try eigenvalues(&root, order: n, wantsVectors: true)
        for row in 0..<n {
            let factor = max(values[row], 0).squareRoot()
            for column in 0..<n { root[row * n + column] *= factor }
        }
        var (half, inner) = ([Double](repeating: 0, count: n * n), [Double](repeating: 0, count: n * n))
        cblas_dsymm(
            CblasRowMajor, CblasRight, CblasUpper, Int32(n), Int32(n), 1, second, Int32(n), root, Int32(n), 0, &half,
            Int32(n))
        cblas_dgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(n), Int32(n), Int32(n), 1, half, Int32(n), root, Int32(n), 0,
            &inner, Int32(n))
        let roots = try eigenvalues(&inner, order: n, wantsVectors: false).reduce(0.0) { $0 + max($1, 0).squareRoot() }
        return max(0, squares + trace - 2 * roots)
    }

    /// Eigenvalues of a symmetric matrix, ascending; the rows of the matrix become the eigenvectors if they are wanted.
    private static func eigenvalues(_ matrix: inout [Double], order: Int, wantsVectors: Bool) throws -> [Double] {
        var values = [Double](repeating: 0, count: order)
        let (job, triangle, n) = (wantsVectors ? "V" : "N", "U", Int32(order))
        var status: Int32 = 0
        func call(_ work: inout [Double], _ workCount: Int32, _ integers: inout [Int32], _ integerCount: Int32) {
            withUnsafePointer(to: n) { order in
                withUnsafePointer(to: workCount) { workCount in
                    withUnsafePointer(to: integerCount) { integerCount in
                        dsyevd_(
                            job, triangle, order, &matrix, order, &values, &work, workCount, &integers, integerCount,
                            &status, 1, 1)
                    }
                }
            }
        }
        var (work, integers) = ([0.0], [Int32(0)])
        call(&work, -1, &integers, -1)
        let (workCount, integerCount) = (Int32(work[0]), integers[0])
        work = [Double](repeating: 0, count: Int(workCount))
        integers = [Int32](repeating: 0, count: Int(integerCount))
        call(&work, workCount, &integers, integerCount)
        guard status == 0 else { throw ScoringError.distance("the eigenvalues of a covariance cannot be found") }
        return values
    }
}
