import Foundation
import Tensors
import Testing

@Suite struct NormsTests {
    static let shapes = [(1, 1), (1, 17), (3, 33), (5, 100), (17, 192), (2, 1152), (300, 3)]

    private func normalised(_ x: Reference, epsilon: Double, centred: Bool = true) -> Reference {
        let n = Double(x.columns)
        let means = (0..<x.rows).map { row in
            centred ? (0..<x.columns).reduce(0) { $0 + x[row, $1] } / n : 0
        }
        let variances = (0..<x.rows).map { row in
            (0..<x.columns).reduce(0) { $0 + (x[row, $1] - means[row]) * (x[row, $1] - means[row]) } / n
        }
        return Reference(rows: x.rows, columns: x.columns) { row, column in
            (x[row, column] - means[row]) / (variances[row] + epsilon).squareRoot()
        }
    }

    @Test(arguments: shapes)
    func layerNormMatchesItsFormula(rows: Int, columns: Int) {
        var numbers = TestNumbers(UInt64(columns))
        let x = numbers.window(rows: rows, columns: columns)
        let (weight, bias) = (numbers.matrix(rows: 1, columns: columns), numbers.matrix(rows: 1, columns: columns))
        let plain = normalised(Reference(x), epsilon: 1e-5)
        let y = numbers.window(rows: rows, columns: columns)
        layerNorm(x, epsilon: 1e-5, into: y)
        #expect(relativeError(y, plain) < 2e-6)
        layerNorm(x, weight: weight, bias: bias, epsilon: 1e-5, into: y)
        let affine = Reference(rows: rows, columns: columns) {
            plain[$0, $1] * Double(weight[0, $1]) + Double(bias[0, $1])
        }
        #expect(relativeError(y, affine) < 2e-6)
        modulatedLayerNorm(x, scale: weight, shift: bias, epsilon: 1e-5, into: x)
        let modulated = Reference(rows: rows, columns: columns) {
            plain[$0, $1] * (1 + Double(weight[0, $1])) + Double(bias[0, $1])
        }
        #expect(relativeError(x, modulated) < 2e-6)
    }

    @Test func layerNormIsAccurateForLargeMeans() {
        let x = Matrix((0..<64).map { 1000 + Float($0 % 4) }, rows: 1, columns: 64)
        let expected = normalised(Reference(x), epsilon: 1e-6)
        layerNorm(x, epsilon: 1e-6, into: x)
        #expect(relativeError(x, expected) < 1e-6)
    }

    @Test(arguments: shapes)
    func rootMeanSquareNormMatchesItsFormula(rows: Int, columns: Int) {
        var numbers = TestNumbers(UInt64(columns) + 1)
        let x = numbers.window(rows: rows, columns: columns)
        let weight = numbers.matrix(rows: 1, columns: columns)
        let plain = normalised(Reference(x), epsilon: 1e-6, centred: false)
        let y = numbers.window(rows: rows, columns: columns)
        rmsNorm(x, weight: weight, epsilon: 1e-6, into: y)
        let expected = Reference(rows: rows, columns: columns) { plain[$0, $1] * Double(weight[0, $1]) }
        #expect(relativeError(y, expected) < 2e-6)
    }

    @Test func instructionSetsAreBitIdentical() {
        for columns in [1, 15, 17, 64, 100, 333] {
            let results = onEveryLevel {
                var numbers = TestNumbers(8)
                let x = numbers.window(rows: 4, columns: columns)
                let row = numbers.matrix(rows: 1, columns: columns)
                modulatedLayerNorm(x, scale: row, shift: row, epsilon: 1e-6, into: x)
                rmsNorm(x, weight: row, epsilon: 1e-6, into: x)
                return bits(x)
            }
            for result in results { #expect(result == results[0]) }
        }
    }
}
