import Basics
import CKernels
import Foundation
import Tensors
import Testing

/// 3 x 3 convolutions by minimal filtering, against plain loops and the direct convolution.
@Suite struct WinogradConvolutionTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        var inputs, outputs, height, width: Int
        var testDescription: String { "\(inputs) to \(outputs) channels, \(height) x \(width) pixels" }
    }

    /// Tiles cut off at either edge, several blocks, channels that are not whole vectors, pairs or panels.
    static let shapes = [
        Shape(inputs: 1, outputs: 1, height: 1, width: 1), Shape(inputs: 3, outputs: 5, height: 2, width: 7),
        Shape(inputs: 17, outputs: 33, height: 17, width: 19), Shape(inputs: 32, outputs: 70, height: 5, width: 35),
        Shape(inputs: 131, outputs: 2, height: 9, width: 6),
    ]
    static let precisions = Precision.allCases.filter(\.isSupported)

    private static func map(
        _ numbers: inout TestNumbers, _ height: Int, _ width: Int, _ channels: Int
    )
        -> ChannelsLastMap
    { ChannelsLastMap(numbers.window(rows: height * width, columns: channels), height: height, width: width) }

    private static func doubled(_ x: Reference, height: Int, width: Int) -> Reference {
        Reference(rows: 4 * height * width, columns: x.columns) { pixel, channel in
            let (row, column) = pixel.quotientAndRemainder(dividingBy: 2 * width)
            return x[row / 2 * width + column / 2, channel]
        }
    }

    /// `[H·W, O]` of pixels `[H·W, I]` by plain loops.
    private static func convolved(
        _ x: Reference, height: Int, width: Int, weight: Reference, bias: Matrix?
    ) -> Reference {
        Reference(rows: height * width, columns: weight.rows) { pixel, output in
            let (row, column) = pixel.quotientAndRemainder(dividingBy: width)
            var sum = Double(bias?[0, output] ?? 0)
            for tap in 0..<9 {
                let (y, z) = (row + tap / 3 - 1, column + tap % 3 - 1)
                guard (0..<height).contains(y) && (0..<width).contains(z) else { continue }
                for input in 0..<x.columns { sum += weight[output, 9 * input + tap] * x[y * width + z, input] }
            }
            return sum
        }
    }

    @Test(arguments: shapes, [false, true])
    func layersInFloat32MatchPlainLoopsOnEveryLevel(shape: Shape, isUpsampling: Bool) throws {
        var numbers = TestNumbers(UInt64(shape.inputs * 100 + shape.width))
        let scale = isUpsampling ? 2 : 1
        for type in LinearTests.types {
            let stored = try LinearTests.weight(
                numbers.matrix(rows: shape.outputs, columns: shape.inputs * 9), type: type)
            let bias = numbers.matrix(rows: 1, columns: shape.outputs)
            let layer = WinogradConvolution(weight: stored, bias: bias, isUpsampling: isUpsampling)
            let x = Self.map(&numbers, shape.height, shape.width, shape.inputs)
            let plain = Reference(x.pixels)
            let expected = Self.convolved(
                isUpsampling ? Self.doubled(plain, height: shape.height, width: shape.width) : plain,
                height: scale * shape.height, width: scale * shape.width, weight: Reference(stored.matrix()),
                bias: bias)
            let y = Self.map(&numbers, scale * shape.height, scale * shape.width, shape.outputs)
            let results = onEveryLevel {
                convolve(x, layer, into: y, workspace: Workspace())
                return bits(y.pixels)
            }
            #expect(relativeError(y.pixels, expected) < 4e-6)
            for result in results { #expect(result == results[0]) }
        }
    }

    @Test(.enabled(if: CPU.hasBFloat16), arguments: shapes, [false, true])
    func productsInBFloat16AreExactWhereNothingIsRounded(shape: Shape, isUpsampling: Bool) {
        // Small integers, and weights of which a quarter is one: transformed windows and filters have few digits.
        var numbers = TestNumbers(UInt64(shape.inputs))
        func integers(_ rows: Int, _ columns: Int, step: Float) -> Matrix {
            Matrix(
                (0..<(rows * columns)).map { _ in step * (numbers.next() * 3).rounded() }, rows: rows, columns: columns)
        }
        let (height, width) = (shape.height, shape.width)
        let scale = isUpsampling ? 2 : 1
        let weight = integers(shape.outputs, shape.inputs * 9, step: 4)
        let layer = WinogradConvolution(
            weight: Weight(weight), bias: nil, isUpsampling: isUpsampling, precision: .bfloat16)
        let x = ChannelsLastMap(integers(height * width, shape.inputs, step: 1), height: height, width: width)
        let y = Self.map(&numbers, scale * height, scale * width, shape.outputs)
        convolve(x, layer, into: y, workspace: Workspace())
        let plain = Reference(x.pixels)
        let expected = Self.convolved(
            isUpsampling ? Self.doubled(plain, height: height, width: width) : plain, height: scale * height,
            width: scale * width, weight: Reference(weight), bias: nil)
        #expect(y.pixels.values.map(Double.init) == expected.values)
    }

    /// The direct convolution of channels-last pixels, which is tested against plain loops.
    private static func direct(_ x: ChannelsLastMap, _ weight: Matrix) -> Reference {
        let (input, output) = (
            FeatureMap(channelCount: x.channelCount, height: x.height, width: x.width),
            FeatureMap(channelCount: weight.rows, height: x.height, width: x.width)
        )
        transpose(x.pixels, into: input.channels)
        let layer = Convolution(weight: Weight(weight), bias: nil, kernelSize: 3, padding: 1)
        convolve(input, layer, into: output, workspace: Workspace())
        let pixels = Matrix(rows: x.pixels.rows, columns: weight.rows)
        transpose(output.channels, into: pixels)
        return Reference(pixels)
    }

    /// 512 channels, as in the published decoders, and more blocks than fit in a pass.
    @Test func errorOfManyChannelsIsBounded() {
        var numbers = TestNumbers(12)
        let weight = numbers.matrix(rows: 40, columns: 512 * 9)
        let x = Self.map(&numbers, 33, 81, 512)
        let expected = Self.direct(x, weight)
        let y = Self.map(&numbers, 33, 81, 40)
        for (precision, bound) in [(Precision.float32, 1e-5), (.bfloat16, 1e-2)] where precision.isSupported {
            convolve(
                x, WinogradConvolution(weight: Weight(weight), bias: nil, precision: precision), into: y,
                workspace: Workspace())
            #expect(relativeError(y.pixels, expected) < bound)
        }
    }

    @Test(arguments: precisions) func normalizationIsFollowedBySiLUAndResultsCanBeAdded(precision: Precision) {
        var numbers = TestNumbers(13)
        let x = Self.map(&numbers, 21, 18, 36)
        let (gain, bias) = (numbers.matrix(rows: 1, columns: 36), numbers.matrix(rows: 1, columns: 36))
        let layer = WinogradConvolution(
            weight: Weight(numbers.matrix(rows: 20, columns: 36 * 9)), bias: numbers.matrix(rows: 1, columns: 20),
            precision: precision)
        let moments = ChannelMoments()
        moments.measure(x)
        let norm = moments.groupNorm(groups: 4, weight: gain, bias: bias, epsilon: 1e-6)
        let normed = ChannelsLastMap(Matrix(rows: 21 * 18, columns: 36), height: 21, width: 18)
        norm.apply(to: x.pixels, into: normed.pixels)
        silu(normed.pixels)
        let (fused, plain) = (Self.map(&numbers, 21, 18, 20), Matrix(rows: 21 * 18, columns: 20))
        let separate = ChannelsLastMap(Matrix(rows: 21 * 18, columns: 20), height: 21, width: 18)
        plain.copy(from: fused.pixels)
        convolve(x, layer, normalization: norm, adds: true, into: fused, workspace: Workspace())
        convolve(normed, layer, into: separate, workspace: Workspace())
        add(separate.pixels, to: plain)
        #expect(bits(fused.pixels) == bits(plain))
    }

    @Test(arguments: precisions, [false, true])
    func bitsDoNotDependOnThreads(precision: Precision, isUpsampling: Bool) {
        var numbers = TestNumbers(14)
        let scale = isUpsampling ? 2 : 1
        let layer = WinogradConvolution(
            weight: Weight(numbers.matrix(rows: 130, columns: 65 * 9)), bias: nil, isUpsampling: isUpsampling,
            precision: precision)
        let x = Self.map(&numbers, 70, 65, 65)
        let y = Self.map(&numbers, 70 * scale, 65 * scale, 130)
        let gain = numbers.matrix(rows: 1, columns: 130)
        let (threads, moments) = (BLAS.threadCount, ChannelMoments())
        defer { BLAS.setThreadCount(threads) }
        let results = [1, 2, 7].map { count in
            BLAS.setThreadCount(count)
            convolve(x, layer, into: y, moments: moments, workspace: Workspace())
            moments.groupNorm(groups: 2, weight: gain, bias: gain, epsilon: 1e-6).apply(to: y.pixels, into: y.pixels)
            return bits(y.pixels)
        }
        #expect(results[1] == results[0] && results[2] == results[0])
    }

    @Test func scratchMemoryIsBounded() {
        var numbers = TestNumbers(15)
        let layer = WinogradConvolution(weight: Weight(numbers.matrix(rows: 32, columns: 32 * 9)), bias: nil)
        let workspace = Workspace()
        for side in [100, 500] {
            let x = ChannelsLastMap(Matrix(rows: side * side, columns: 32), height: side, width: side)
            let y = ChannelsLastMap(Matrix(rows: side * side, columns: 32), height: side, width: side)
            convolve(x, layer, into: y, workspace: workspace)
        }
        #expect(workspace.byteCount < 18 << 20)
    }
}

/// Group norms from the moments of blocks.
@Suite struct ChannelMomentsTests {
    static let shapes = [(4, 1, 3, 5), (6, 3, 1, 1), (32, 8, 9, 7), (4, 2, 70, 90), (36, 9, 33, 17)]

    @Test(arguments: shapes, [0, 100] as [Float])
    func groupNormMatchesItsFormula(shape: (channels: Int, groups: Int, height: Int, width: Int), offset: Float) {
        var numbers = TestNumbers(7)
        let (channels, pixels) = (shape.channels, shape.height * shape.width)
        let x = ChannelsLastMap(
            numbers.window(rows: pixels, columns: channels), height: shape.height, width: shape.width)
        for pixel in 0..<pixels { for channel in 0..<channels { x.pixels[pixel, channel] += offset } }
        let (weight, bias) = (numbers.matrix(rows: 1, columns: channels), numbers.matrix(rows: 1, columns: channels))
        let (before, size) = (Reference(x.pixels), channels / shape.groups)
        var expected = before
        for group in 0..<shape.groups {
            let members = (group * size)..<((group + 1) * size)
            let values = (0..<pixels).flatMap { pixel in members.map { before[pixel, $0] } }
            let mean = values.reduce(0, +) / Double(values.count)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
            for pixel in 0..<pixels {
                for channel in members {
                    let index = pixel * channels + channel
                    expected.values[index] =
                        (before.values[index] - mean) / (variance + 1e-6).squareRoot() * Double(weight[0, channel])
                        + Double(bias[0, channel])
                }
            }
        }
        let results = onEveryLevel {
            let moments = ChannelMoments()
            moments.measure(x)
            let y = Matrix(rows: pixels, columns: channels)
            moments.groupNorm(groups: shape.groups, weight: weight, bias: bias, epsilon: 1e-6)
                .apply(to: x.pixels, into: y)
            #expect(relativeError(y, expected) < (offset == 0 ? 3e-6 : 1e-4))
            return bits(y)
        }
        for result in results { #expect(result == results[0]) }
    }

    @Test func convolutionsMeasureTheirResult() {
        var numbers = TestNumbers(16)
        let x = ChannelsLastMap(numbers.matrix(rows: 35 * 22, columns: 5), height: 35, width: 22)
        let layer = WinogradConvolution(weight: Weight(numbers.matrix(rows: 40, columns: 45)), bias: nil)
        let y = ChannelsLastMap(Matrix(rows: 35 * 22, columns: 40), height: 35, width: 22)
        let row = numbers.matrix(rows: 1, columns: 40)
        let (measured, separate) = (ChannelMoments(), ChannelMoments())
        convolve(x, layer, into: y, moments: measured, workspace: Workspace())
        separate.measure(y)
        let normed = [measured, separate].map { moments in
            let result = Matrix(rows: 35 * 22, columns: 40)
            moments.groupNorm(groups: 8, weight: row, bias: row, epsilon: 1e-6).apply(to: y.pixels, into: result)
            return bits(result)
        }
        #expect(normed[0] == normed[1])
    }
}
