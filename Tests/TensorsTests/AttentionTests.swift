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
        for (queries, keys, dimension) in [(16, 16, 32), (7, 50, 72), (33, 19, 17)] {
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

    @Test func queriesAreProcessedInBlocks() {
        // 2000 keys allow blocks of 262 queries.
        let problem = Problem(queries: 600, keys: 2000, headCount: 1, dimension: 2, hasBias: false)
        let whole = problem.run()
        var last = problem
        last.queries = problem.queries.rows(590..<600)
        #expect(relativeError(whole.rows(590..<600), last.reference()) < 3e-6)
    }
}
