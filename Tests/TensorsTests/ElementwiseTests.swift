import Basics
import Foundation
import Tensors
import Testing

@Suite struct ElementwiseTests {
    private func exact(_ activation: Activation, _ x: Double) -> Double {
        switch activation {
        case .none: x
        case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .gelu: 0.5 * x * erfc(-x / 2.0.squareRoot())
        case .quickGelu: x / (1 + exp(-1.702 * x))
        case .silu: x / (1 + exp(-x))
        case .relu: max(x, 0)
        }
    }

    @Test(arguments: Activation.allCases, [1, 3, 17, 33, 100])
    func activationsMatchTheirFormulas(activation: Activation, columns: Int) {
        var numbers = TestNumbers(UInt64(columns))
        let x = numbers.window(rows: 7, columns: columns)
        axpby(9, numbers.window(rows: 7, columns: columns), 0, x)
        let before = Reference(x)
        activate(activation, x)
        for (found, value) in zip(x.values, before.values) {
            let expected = exact(activation, value)
            #expect(abs(Double(found) - expected) <= 1e-6 * abs(expected) + 1e-7, "\(activation) of \(value)")
        }
    }

    @Test func activationsSaturateAtExtremeInputs() {
        for activation in Activation.allCases where activation != .none {
            let x = Matrix([-200, 0, 200], rows: 1, columns: 3)
            activate(activation, x)
            #expect(x.values == [0, 0, 200], "\(activation)")
        }
    }

    @Test(arguments: [2, 6, 16, 18, 40], [1, 3])
    func rotaryEmbeddingRotatesColumnPairs(dimension: Int, heads: Int) {
        var numbers = TestNumbers(UInt64(dimension))
        let x = numbers.window(rows: 5, columns: heads * dimension)
        let angles = numbers.matrix(rows: 5, columns: dimension / 2)
        let (cosine, sine) = (Matrix(rows: 5, columns: dimension), Matrix(rows: 5, columns: dimension))
        for row in 0..<5 {
            for column in 0..<dimension {
                let angle = angles[row, column / 2]
                cosine[row, column] = cos(angle)
                sine[row, column] = column % 2 == 0 ? -sin(angle) : sin(angle)
            }
        }
        let before = Reference(x)
        applyRotaryEmbedding(to: x, cosine: cosine, sine: sine, into: x)
        let expected = Reference(rows: 5, columns: heads * dimension) { row, column in
            let angle = Double(angles[row, column % dimension / 2])
            let (even, odd) = (before[row, column / 2 * 2], before[row, column / 2 * 2 + 1])
            return column % 2 == 0 ? even * cos(angle) - odd * sin(angle) : odd * cos(angle) + even * sin(angle)
        }
        #expect(relativeError(x, expected) < 3e-7)
    }

    @Test(arguments: [2, 6, 16, 18, 40])
    func rotaryEmbeddingFollowsTheNormOfEachHead(dimension: Int) {
        var numbers = TestNumbers(UInt64(dimension) + 3)
        let (rows, heads) = (5, 3)
        let x = numbers.window(rows: rows, columns: heads * dimension)
        let weight = numbers.matrix(rows: 1, columns: dimension)
        let (cosine, sine) = (
            numbers.matrix(rows: rows, columns: dimension), numbers.matrix(rows: rows, columns: dimension)
        )
        let plain = Matrix(rows: rows, columns: x.columns)
        for head in 0..<heads {
            let columns = (head * dimension)..<((head + 1) * dimension)
            rmsNorm(x.columns(columns), weight: weight, epsilon: 1e-6, into: plain.columns(columns))
        }
        applyRotaryEmbedding(to: plain, cosine: cosine, sine: sine, into: plain)
        for precision in [Precision.float32, .bfloat16] {
            let (y, expected) = (
                Matrix(rows: rows, columns: x.columns, precision: precision),
                Matrix(rows: rows, columns: x.columns, precision: precision)
            )
            activate(.none, plain, into: expected)
            applyRotaryEmbedding(
                to: x, normWeight: weight, epsilon: 1e-6, cosine: cosine, sine: sine, into: y)
            #expect(bits(y) == bits(expected))
        }
    }

    @Test(arguments: [1, 3, 17, 33, 100])
    func sumsAndProductsMatchPlainLoops(columns: Int) {
        var numbers = TestNumbers(UInt64(columns) + 9)
        let (a, b) = (numbers.window(rows: 5, columns: columns), numbers.window(rows: 5, columns: columns))
        let gate = numbers.matrix(rows: 1, columns: columns)
        let y = Reference(b)

        var x = Reference(a)
        add(b, to: a)
        #expect(relativeError(a, Reference(rows: 5, columns: columns) { x[$0, $1] + y[$0, $1] }) < 3e-7)
        x = Reference(a)
        add(b, gate: gate, to: a)
        let gated = Reference(rows: 5, columns: columns) { x[$0, $1] + Double(gate[0, $1]) * y[$0, $1] }
        #expect(relativeError(a, gated) < 3e-7)
        x = Reference(a)
        multiply(b, into: a)
        #expect(relativeError(a, Reference(rows: 5, columns: columns) { x[$0, $1] * y[$0, $1] }) < 3e-7)
        x = Reference(a)
        axpby(-2, b, 0.5, a)
        let combined = Reference(rows: 5, columns: columns) { 0.5 * x[$0, $1] - 2 * y[$0, $1] }
        #expect(relativeError(a, combined) < 3e-7)
    }

    @Test func elementsOutsideAViewAreUnchanged() {
        let whole = Matrix([Float](repeating: 1, count: 4 * 40), rows: 4, columns: 40)
        let view = whole.rows(1..<3).columns(3..<36)
        axpby(1, view, 1, view)
        silu(view)
        gelu(view)
        layerNorm(view, epsilon: 1, into: view)
        for row in 0..<4 {
            for column in 0..<40 where !(1..<3).contains(row) || !(3..<36).contains(column) {
                #expect(whole[row, column] == 1)
            }
        }
    }

    @Test func threadedRowsAreBitIdenticalToSingleRows() {
        // Large enough for several threads.
        var numbers = TestNumbers(1)
        let x = numbers.matrix(rows: 301, columns: 700)
        let gate = numbers.matrix(rows: 1, columns: 700)
        let copy = Matrix(x.values, rows: 301, columns: 700)
        func apply(_ x: Matrix) {
            modulatedLayerNorm(x, scale: gate, shift: gate, epsilon: 1e-6, into: x)
            rmsNorm(x, weight: gate, epsilon: 1e-6, into: x)
            gelu(x)
            add(x, gate: gate, to: x)
            multiply(x, into: x)
            axpby(0.5, x, 0.25, x)
        }
        apply(x)
        for row in 0..<301 { apply(copy.rows(row..<(row + 1))) }
        #expect(bits(x) == bits(copy))
    }
}
