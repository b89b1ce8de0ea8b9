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

    @Test(arguments: shapes)
    func softmaxMatchesItsFormula(rows: Int, columns: Int) {
        var numbers = TestNumbers(UInt64(columns) + 2)
        let x = numbers.window(rows: rows, columns: columns)
        let before = Reference(x)
        softmax(x, scale: 20)
        let sums = (0..<rows).map { row in (0..<columns).reduce(0) { $0 + exp(20 * before[row, $1]) } }
        let expected = Reference(rows: rows, columns: columns) { exp(20 * before[$0, $1]) / sums[$0] }
        #expect(relativeError(x, expected) < 3e-6)
    }

    @Test func softmaxHandlesLargeAndMaskedScores() {
        let x = Matrix([1e4, 1e4, -.infinity, -1e4], rows: 1, columns: 4)
        softmax(x)
        #expect(x.values == [0.5, 0.5, 0, 0])
    }

    @Test(arguments: [(4, 1, 3, 5), (6, 3, 1, 1), (32, 8, 9, 7), (4, 2, 70, 90)], [false, true])
    func groupNormMatchesItsFormula(shape: (channels: Int, groups: Int, height: Int, width: Int), silu: Bool) {
        var numbers = TestNumbers(7)
        let (channels, pixels) = (shape.channels, shape.height * shape.width)
        let x = FeatureMap(
            numbers.window(rows: channels, columns: pixels), height: shape.height, width: shape.width)
        let (weight, bias) = (numbers.matrix(rows: 1, columns: channels), numbers.matrix(rows: 1, columns: channels))
        // A group is one row of the plain norm.
        let size = channels / shape.groups * pixels
        let before = Reference(x.channels).values
        let groups = normalised(
            Reference(rows: shape.groups, columns: size) { before[$0 * size + $1] }, epsilon: 1e-6)
        let expected = Reference(rows: channels, columns: pixels) { channel, pixel in
            let value =
                groups.values[channel * pixels + pixel] * Double(weight[0, channel]) + Double(bias[0, channel])
            return silu ? value / (1 + exp(-value)) : value
        }
        groupNorm(x, groups: shape.groups, weight: weight, bias: bias, epsilon: 1e-6, silu: silu, into: x)
        #expect(relativeError(x.channels, expected) < 3e-6)
    }

    @Test func instructionSetsAreBitIdentical() {
        for columns in [1, 15, 17, 64, 100, 333] {
            let results = onEveryLevel {
                var numbers = TestNumbers(8)
                let x = numbers.window(rows: 4, columns: columns)
                let row = numbers.matrix(rows: 1, columns: columns)
                let map = FeatureMap(numbers.window(rows: 4, columns: columns), height: 1, width: columns)
                let four = numbers.matrix(rows: 1, columns: 4)
                modulatedLayerNorm(x, scale: row, shift: row, epsilon: 1e-6, into: x)
                rmsNorm(x, weight: row, epsilon: 1e-6, into: x)
                softmax(x, scale: 2)
                groupNorm(map, groups: 2, weight: four, bias: four, epsilon: 1e-6, silu: true, into: map)
                return bits(x) + bits(map.channels)
            }
            for result in results { #expect(result == results[0]) }
        }
    }
}
