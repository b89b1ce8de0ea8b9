import Basics
import Foundation
import Tensors
import Testing

@Suite struct AttentionTests {
    struct Problem {
        var queries, keys, values: Matrix
        var bias: Matrix?
        var headCount: Int
        var scale: Float

        init(queries: Int, keys: Int, headCount: Int, dimension: Int, hasBias: Bool) {
            var numbers = TestNumbers(UInt64(queries * 1000 + keys))
            self.queries = numbers.window(rows: queries, columns: headCount * dimension)
            self.keys = numbers.window(rows: keys, columns: headCount * dimension)
            values = numbers.window(rows: keys, columns: headCount * dimension)
            bias = hasBias ? numbers.window(rows: headCount * queries, columns: keys) : nil
            self.headCount = headCount
            scale = 2 / Float(dimension).squareRoot()
        }

        func run(_ workspace: Workspace = Workspace()) -> Matrix {
            let output = Matrix(rows: queries.rows, columns: queries.columns + 3).columns(1..<(queries.columns + 1))
            attention(
                queries: queries, keys: keys, values: values, headCount: headCount, scale: scale, bias: bias,
                into: output, workspace: workspace)
            return output
        }

        func reference() -> Reference {
            let dimension = queries.columns / headCount
            var result = [Double](repeating: 0, count: queries.rows * queries.columns)
            for head in 0..<headCount {
                let slice = (head * dimension)..<((head + 1) * dimension)
                let scores = Reference.product(
                    Reference(queries.columns(slice)), transposed: Reference(keys.columns(slice)))
                let heads = Reference(values.columns(slice))
                let transposed = Reference(rows: dimension, columns: keys.rows) { heads[$1, $0] }
                let weights = Reference(rows: queries.rows, columns: keys.rows) { row, key in
                    exp(scores[row, key] * Double(scale) + Double(bias?[head * queries.rows + row, key] ?? 0))
                }
                let products = Reference.product(weights, transposed: transposed)
                for row in 0..<queries.rows {
                    let sum = (0..<keys.rows).reduce(0) { $0 + weights[row, $1] }
                    for d in 0..<dimension {
                        result[row * queries.columns + head * dimension + d] = products[row, d] / sum
                    }
                }
            }
            return Reference(rows: queries.rows, columns: queries.columns) { result[$0 * queries.columns + $1] }
        }
    }

    @Test(
        arguments: [
            (1, 1, 1, 1), (1, 17, 2, 3), (3, 33, 3, 17), (16, 16, 6, 32), (17, 120, 2, 72), (100, 7, 1, 33),
            (128, 128, 1, 16), (129, 40, 2, 24), (40, 300, 1, 33), (300, 129, 1, 16),
        ], [false, true])
    func attentionMatchesPlainLoops(
        shape: (queries: Int, keys: Int, headCount: Int, dimension: Int), hasBias: Bool
    ) {
        let problem = Problem(
            queries: shape.queries, keys: shape.keys, headCount: shape.headCount, dimension: shape.dimension,
            hasBias: hasBias)
        #expect(relativeError(problem.run(), problem.reference()) < 3e-6)
    }

    @Test func smallTokenCountsMatchPlainLoops() {
        for tokens in 1...40 {
            let problem = Problem(queries: tokens, keys: 41 - tokens, headCount: 1, dimension: 5, hasBias: false)
            #expect(relativeError(problem.run(), problem.reference()) < 3e-6, "\(tokens) tokens")
        }
    }

    @Test func instructionSetsAreBitIdentical() {
        for (queries, keys, dimension) in [(16, 16, 32), (7, 50, 72), (33, 19, 17), (40, 300, 100)] {
            let problem = Problem(queries: queries, keys: keys, headCount: 2, dimension: dimension, hasBias: true)
            let results = onEveryLevel { bits(problem.run()) }
            for result in results { #expect(result == results[0]) }
        }
    }

    @Test func maskedKeysDoNotAffectTheOutput() {
        let problem = Problem(queries: 5, keys: 20, headCount: 2, dimension: 8, hasBias: true)
        problem.bias?.fill(0)
        problem.bias?.columns(12..<20).fill(-10_000)
        var shorter = problem
        shorter.keys = problem.keys.rows(0..<12)
        shorter.values = problem.values.rows(0..<12)
        shorter.bias = nil
        #expect(relativeError(problem.run(), Reference(shorter.run())) < 1e-6)
    }

    @Test(arguments: [16, 700])
    func repeatedRunsAreBitIdenticalAndReuseMemory(tokens: Int) {
        let problem = Problem(queries: tokens, keys: tokens, headCount: 2, dimension: 8, hasBias: false)
        let workspace = Workspace()
        let first = bits(problem.run(workspace))
        let growth = workspace.growthCount
        for _ in 0..<3 { #expect(bits(problem.run(workspace)) == first) }
        #expect(workspace.growthCount == growth)
        #expect(workspace.byteCount <= 2 << 20)
    }

    @Test func queriesAndKeysAreProcessedInBlocks() {
        let problem = Problem(queries: 600, keys: 2000, headCount: 1, dimension: 2, hasBias: false)
        let whole = problem.run()
        var last = problem
        last.queries = problem.queries.rows(590..<600)
        #expect(bits(whole.rows(590..<600)) == bits(last.run()))
        #expect(relativeError(whole.rows(590..<600), last.reference()) < 3e-6)
    }

    @Test func causalMasksHideWholeBlocksOfKeys() {
        let problem = Problem(queries: 530, keys: 530, headCount: 1, dimension: 4, hasBias: true)
        for row in 0..<530 {
            for key in 0..<530 { problem.bias?[row, key] = key > 529 - row ? -.infinity : 0 }
        }
        // The last query sees the first key only, the first query all of them.
        #expect(relativeError(problem.run(), problem.reference()) < 3e-6)
        for row in 0..<530 {
            for key in 0..<530 { problem.bias?[row, key] = key < row ? -.infinity : 0 }
        }
        // Some queries see no key of the first block.
        #expect(relativeError(problem.run(), problem.reference()) < 3e-6)
    }

    @Test func valuesThatAreNotFiniteReachTheOutput() {
        let problem = Problem(queries: 3, keys: 300, headCount: 1, dimension: 5, hasBias: false)
        problem.queries[1, 2] = .nan
        let output = problem.run()
        #expect(output.values[0..<5].allSatisfy(\.isFinite) && output.values[5..<10].allSatisfy(\.isNaN))
    }

    // MARK: - Several images, bfloat16

    static let precisions = Precision.allCases.filter(\.isSupported)

    private func narrowed(_ x: Matrix) -> Matrix {
        let result = Matrix(rows: x.rows, columns: x.columns, precision: .bfloat16)
        narrow(x, into: result)
        return result
    }

    private func floats(_ x: Matrix) -> Matrix { Matrix(x.values, rows: x.rows, columns: x.columns) }

    @Test(
        .enabled(if: CPU.hasBFloat16),
        arguments: [
            (1, 1, 1, 1), (1, 17, 2, 3), (3, 33, 3, 17), (16, 16, 6, 32), (17, 120, 2, 72), (31, 257, 1, 33),
            (500, 300, 2, 72), (129, 600, 1, 128),
        ])
    func bfloat16MatchesPlainLoopsOverRoundedInputs(
        shape: (queries: Int, keys: Int, headCount: Int, dimension: Int)
    ) {
        var problem = Problem(
            queries: shape.queries, keys: shape.keys, headCount: shape.headCount, dimension: shape.dimension,
            hasBias: false)
        let (q, k, v) = (narrowed(problem.queries), narrowed(problem.keys), narrowed(problem.values))
        (problem.queries, problem.keys, problem.values) = (floats(q), floats(k), floats(v))
        let expected = problem.reference()
        let (output, rounded) = (
            Matrix(rows: q.rows, columns: q.columns), Matrix(rows: q.rows, columns: q.columns, precision: .bfloat16)
        )
        for target in [output, rounded] {
            attention(
                queries: q, keys: k, values: v, headCount: shape.headCount, scale: problem.scale, into: target,
                workspace: Workspace())
        }
        // Weights are rounded to eight bits; their errors partly cancel.
        #expect(relativeError(output, expected) < 1.0 / 256)
        #expect(bits(rounded) == bits(narrowed(output)))
    }

    @Test(arguments: precisions) func bitsDependNeitherOnThreadsNorOnNeighboursNorOnTheLayout(precision: Precision) {
        var numbers = TestNumbers(12)
        let (images, tokens, heads, dimension) = (3, 310, 2, 24)
        func input() -> Matrix {
            let x = numbers.window(rows: images * tokens, columns: heads * dimension)
            return precision == .bfloat16 ? narrowed(x) : x
        }
        let (q, k, v) = (input(), input(), input())
        func run(_ imageCount: Int, _ tokens: (Int) -> TokenRows) -> Matrix {
            let output = Matrix(rows: q.rows, columns: q.columns)
            attention(
                queries: q, imageCount: imageCount, headCount: heads, scale: 0.3, into: output, workspace: Workspace()
            ) {
                (tokens($0), KeysAndValues(keys: k, values: v, rows: tokens($0)))
            }
            return output
        }
        func adjacent(_ image: Int) -> TokenRows { TokenRows((image * tokens)..<((image + 1) * tokens)) }
        let threads = BLAS.threadCount
        defer { BLAS.setThreadCount(threads) }
        BLAS.setThreadCount(1)
        let all = run(images, adjacent)
        for count in [2, 5] {
            BLAS.setThreadCount(count)
            #expect(bits(run(images, adjacent)) == bits(all))
        }
        let last = run(1) { _ in adjacent(2) }
        #expect(bits(last.rows(620..<930)) == bits(all.rows(620..<930)))

        // The first 37 tokens of each image above all others.
        func split(_ image: Int) -> TokenRows {
            TokenRows((image * 37)..<((image + 1) * 37), (111 + image * 273)..<(111 + (image + 1) * 273))
        }
        func row(_ image: Int, _ token: Int) -> Int { token < 37 ? image * 37 + token : 111 + image * 273 + token - 37 }
        let (q2, k2, v2) = (moved(q, row, tokens), moved(k, row, tokens), moved(v, row, tokens))
        let output = Matrix(rows: q.rows, columns: q.columns)
        attention(queries: q2, imageCount: images, headCount: heads, scale: 0.3, into: output, workspace: Workspace()) {
            (split($0), KeysAndValues(keys: k2, values: v2, rows: split($0)))
        }
        #expect(bits(output) == bits(moved(all, row, tokens)))
    }

    /// A copy with the tokens of the images in other rows.
    private func moved(_ x: Matrix, _ row: (Int, Int) -> Int, _ tokens: Int) -> Matrix {
        let (values, result) = (floats(x), Matrix(rows: x.rows, columns: x.columns))
        for index in 0..<x.rows {
            let target = row(index / tokens, index % tokens)
            result.rows(target..<(target + 1)).copy(from: values.rows(index..<(index + 1)))
        }
        return x.precision == .bfloat16 ? narrowed(result) : result
    }
}
