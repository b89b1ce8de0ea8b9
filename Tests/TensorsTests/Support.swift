import CKernels
import Foundation
import Tensors

/// Reproducible numbers in -1...1 for tests.
struct TestNumbers {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 33)) / 0x1p30 - 1
    }

    /// A view of a larger matrix, so that its stride exceeds its columns and its start is unaligned.
    mutating func window(rows: Int, columns: Int) -> Matrix {
        let whole = Matrix((0..<((rows + 2) * (columns + 5))).map { _ in next() }, rows: rows + 2, columns: columns + 5)
        return whole.rows(1..<(rows + 1)).columns(3..<(columns + 3))
    }

    mutating func matrix(rows: Int, columns: Int) -> Matrix {
        Matrix((0..<(rows * columns)).map { _ in next() }, rows: rows, columns: columns)
    }
}

/// A row-major matrix of doubles for straightforward reference implementations.
struct Reference {
    var rows, columns: Int
    var values: [Double]

    init(rows: Int, columns: Int, _ element: (Int, Int) -> Double) {
        self.rows = rows
        self.columns = columns
        values = []
        for row in 0..<rows { for column in 0..<columns { values.append(element(row, column)) } }
    }

    init(_ matrix: Matrix) {
        self.init(rows: matrix.rows, columns: matrix.columns) { Double(matrix[$0, $1]) }
    }

    subscript(_ row: Int, _ column: Int) -> Double { values[row * columns + column] }

    /// `a · bᵀ + bias`; uses pointers, because unoptimised closures would take seconds.
    static func product(_ a: Reference, transposed b: Reference, bias: [Double]? = nil) -> Reference {
        var result = [Double](repeating: 0, count: a.rows * b.rows)
        a.values.withUnsafeBufferPointer { left in
            b.values.withUnsafeBufferPointer { right in
                var element = 0
                while element < result.count {
                    let (row, column) = element.quotientAndRemainder(dividingBy: b.rows)
                    var sum = bias?[column] ?? 0
                    var k = 0
                    while k < a.columns {
                        sum += left[row * a.columns + k] * right[column * b.columns + k]
                        k += 1
                    }
                    result[element] = sum
                    element += 1
                }
            }
        }
        return Reference(rows: a.rows, columns: b.rows) { result[$0 * b.rows + $1] }
    }

    func mapped(_ transform: (Double) -> Double) -> Reference {
        Reference(rows: rows, columns: columns) { transform(self[$0, $1]) }
    }
}

/// The largest difference, relative to the reference's largest magnitude (at least 1e-3).
func relativeError(_ found: Matrix, _ expected: Reference) -> Double {
    let scale = max(1e-3, expected.values.map(abs).max() ?? 0)
    let differences = zip(found.values, expected.values).map { abs(Double($0) - $1) / scale }
    // max() ignores NaN.
    return differences.contains { $0.isNaN } ? .infinity : differences.max() ?? 0
}

func bits(_ matrix: Matrix) -> [UInt32] { matrix.values.map(\.bitPattern) }

/// The instruction set levels that this machine supports.
let kernelLevels: [ck_level] = [CK_PORTABLE, CK_AVX2, CK_AVX512, CK_AMX].filter {
    $0.rawValue <= ck_best_level().rawValue
}

/// Held while a test changes the level, which is global.
///
/// Other tests may run concurrently, because results are bit-identical on all levels.
private let levelLock = NSLock()

/// Runs `body` once for each instruction set and returns the results.
func onEveryLevel<Result>(_ body: () -> Result) -> [Result] {
    levelLock.lock()
    defer {
        ck_set_level(ck_best_level())
        levelLock.unlock()
    }
    return kernelLevels.map { level in
        ck_set_level(level)
        return body()
    }
}

/// Calls `body` with the path of a file in a new temporary folder.
func withTemporaryFile<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.appending(path: "file").path)
}

/// The path of a file in Tests/Fixtures.
func fixture(_ path: String, from file: String = #filePath) -> String {
    URL(filePath: file).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/\(path)").path
}
