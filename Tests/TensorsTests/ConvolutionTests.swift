import Tensors
import Testing

@Suite struct ConvolutionTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        /// Inputs, outputs.
        var channels: (Int, Int)
        /// Height, width.
        var size: (Int, Int)
        var kernel: (Int, Int)
        var padding: (Int, Int)
        var stride = 1
        var testDescription: String { "\(channels) channels, \(size) pixels, kernel \(kernel), stride \(stride)" }
    }

    static let shapes = [
        Shape(channels: (1, 1), size: (1, 1), kernel: (3, 3), padding: (1, 1)),
        Shape(channels: (3, 5), size: (7, 4), kernel: (3, 3), padding: (1, 1)),
        Shape(channels: (5, 2), size: (6, 9), kernel: (1, 1), padding: (0, 0)),
        Shape(channels: (2, 3), size: (9, 8), kernel: (3, 3), padding: (0, 0), stride: 2),
        Shape(channels: (2, 3), size: (8, 9), kernel: (3, 3), padding: (1, 1), stride: 2),
        Shape(channels: (2, 2), size: (5, 6), kernel: (1, 7), padding: (0, 3)),
        Shape(channels: (2, 2), size: (6, 5), kernel: (7, 1), padding: (3, 0)),
        Shape(channels: (3, 4), size: (8, 12), kernel: (4, 4), padding: (0, 0), stride: 4),
    ]

    private func reference(_ x: FeatureMap, _ layer: Convolution) -> Reference {
        let weight = Reference(layer.weight.matrix())
        let size = layer.outputSize(height: x.height, width: x.width)
        return Reference(rows: layer.outputCount, columns: size.height * size.width) { output, pixel in
            let (row, column) = pixel.quotientAndRemainder(dividingBy: size.width)
            var sum = Double(layer.bias?[0, output] ?? 0)
            for input in 0..<layer.inputCount {
                for ky in 0..<layer.kernelHeight {
                    for kx in 0..<layer.kernelWidth {
                        let y = row * layer.stride + ky - layer.verticalPadding
                        let z = column * layer.stride + kx - layer.horizontalPadding
                        guard (0..<x.height).contains(y) && (0..<x.width).contains(z) else { continue }
                        let tap = (input * layer.kernelHeight + ky) * layer.kernelWidth + kx
                        sum += weight[output, tap] * Double(x.channels[input, y * x.width + z])
                    }
                }
            }
            return sum
        }
    }

    @Test(arguments: shapes, LinearTests.types)
    func convolutionsMatchPlainLoops(shape: Shape, type: StoredType) throws {
        var numbers = TestNumbers(UInt64(shape.size.0 * 100 + shape.size.1))
        let (inputs, outputs) = shape.channels
        let taps = inputs * shape.kernel.0 * shape.kernel.1
        let layer = Convolution(
            weight: try LinearTests.weight(numbers.matrix(rows: outputs, columns: taps), type: type),
            bias: numbers.matrix(rows: 1, columns: outputs), kernelHeight: shape.kernel.0,
            kernelWidth: shape.kernel.1, verticalPadding: shape.padding.0, horizontalPadding: shape.padding.1,
            stride: shape.stride)
        let (height, width) = shape.size
        let x = FeatureMap(numbers.window(rows: inputs, columns: height * width), height: height, width: width)
        let size = layer.outputSize(height: height, width: width)
        let y = FeatureMap(
            numbers.window(rows: outputs, columns: size.height * size.width), height: size.height, width: size.width)
        convolve(x, layer, into: y, workspace: Workspace())
        #expect(relativeError(y.channels, reference(x, layer)) < 2e-6)
    }

    @Test func largeImagesAreProcessedInRuns() {
        // 512 inputs of 3 x 3 leave 224 output pixels for 4 MB, so 15 x 33 pixels take three runs that split rows.
        var numbers = TestNumbers(3)
        let layer = Convolution(
            weight: Weight(numbers.matrix(rows: 1, columns: 512 * 9)), bias: nil, kernelSize: 3, padding: 1)
        let x = FeatureMap(numbers.matrix(rows: 512, columns: 15 * 33), height: 15, width: 33)
        let y = FeatureMap(channelCount: 1, height: 15, width: 33)
        let workspace = Workspace()
        convolve(x, layer, into: y, workspace: workspace)
        #expect(workspace.byteCount <= 4 << 20)
        let expected = FeatureMap(channelCount: 1, height: 15, width: 33)
        // The sum over channels of single-channel convolutions.
        for channel in 0..<512 {
            let part = Convolution(
                weight: Weight(layer.weight.matrix().columns((9 * channel)..<(9 * channel + 9))), bias: nil,
                kernelSize: 3, padding: 1)
            let single = FeatureMap(x.channels.rows(channel..<(channel + 1)), height: 15, width: 33)
            let output = FeatureMap(channelCount: 1, height: 15, width: 33)
            convolve(single, part, into: output, workspace: workspace)
            add(output.channels, to: expected.channels)
        }
        #expect(relativeError(y.channels, Reference(expected.channels)) < 1e-5)
    }
}
