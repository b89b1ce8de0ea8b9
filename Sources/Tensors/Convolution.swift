import CKernels

/// A two-dimensional convolution layer.
public struct Convolution: Sendable {
    /// `[O, I · kernelHeight · kernelWidth]`, as PyTorch stores it.
    public let weight: Weight
    /// `[1, O]`.
    public let bias: Matrix?
    /// Rows of the kernel.
    public let kernelHeight: Int
    /// Columns of the kernel.
    public let kernelWidth: Int
    /// Rows of zeros above and below the input.
    public let verticalPadding: Int
    /// Columns of zeros left and right of the input.
    public let horizontalPadding: Int
    /// The step between two outputs in pixels, the same in both directions.
    public let stride: Int

    /// A layer with a rectangular kernel; weight `[O, I · kernelHeight · kernelWidth]`, bias `[1, O]`.
    public init(
        weight: Weight, bias: Matrix?, kernelHeight: Int, kernelWidth: Int, verticalPadding: Int,
        horizontalPadding: Int, stride: Int = 1
    ) {
        precondition(kernelHeight > 0 && kernelWidth > 0 && stride > 0, "kernel and stride must be positive")
        precondition(verticalPadding >= 0 && horizontalPadding >= 0, "padding must not be negative")
        precondition(
            weight.columns % (kernelHeight * kernelWidth) == 0,
            "\(weight.columns) weights per output for a kernel of \(kernelHeight) x \(kernelWidth)")
        requireRow(bias, columns: weight.rows)
        self.weight = weight
        self.bias = bias
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.verticalPadding = verticalPadding
        self.horizontalPadding = horizontalPadding
        self.stride = stride
    }

    /// A layer with a square kernel and the same padding on all sides; weight `[O, I · kernelSize²]`, bias `[1, O]`.
    public init(weight: Weight, bias: Matrix?, kernelSize: Int, padding: Int, stride: Int = 1) {
        self.init(
            weight: weight, bias: bias, kernelHeight: kernelSize, kernelWidth: kernelSize, verticalPadding: padding,
            horizontalPadding: padding, stride: stride)
    }

    /// The number of input channels, I.
    public var inputCount: Int { weight.columns / (kernelHeight * kernelWidth) }

    /// The number of output channels, O.
    public var outputCount: Int { weight.rows }

    /// The output size for an input of this size, in pixels.
    public func outputSize(height: Int, width: Int) -> (height: Int, width: Int) {
        (
            (height + 2 * verticalPadding - kernelHeight) / stride + 1,
            (width + 2 * horizontalPadding - kernelWidth) / stride + 1
        )
    }

    /// Whether an output pixel depends on one input pixel, so that the convolution is a plain matrix product.
    fileprivate var isPointwise: Bool {
        kernelHeight == 1 && kernelWidth == 1 && verticalPadding == 0 && horizontalPadding == 0 && stride == 1
    }
}

/// Maximum size of the im2col buffer in floats: 4 MB.
private let maxColumnFloats = 1 << 20

/// Applies a convolution as matrix products over runs of output pixels (im2col).
///
/// - Parameters:
///   - x: `[I, H·W]`.
///   - layer: The layer.
///   - y: `[O, H'·W']`, see ``Convolution/outputSize(height:width:)``; overwritten, must not overlap `x`.
///   - workspace: Scratch memory.
public func convolve(_ x: FeatureMap, _ layer: Convolution, into y: FeatureMap, workspace: Workspace) {
    let size = layer.outputSize(height: x.height, width: x.width)
    precondition(x.channels.rows == layer.inputCount, "\(x.channels.rows) channels for \(layer.inputCount) inputs")
    precondition(
        y.channels.rows == layer.outputCount && y.height == size.height && y.width == size.width,
        "output \(y.channels.rows) x \(y.height) x \(y.width), "
            + "expected \(layer.outputCount) x \(size.height) x \(size.width)")
    let output = y.channels
    fillWithBias(layer.bias, output)
    let weight = layer.weight.floats(rows: 0..<layer.outputCount, workspace: workspace)
    let depth = layer.weight.columns
    if layer.isPointwise {
        sgemm(
            weight.start, aStride: weight.stride, x.channels.pointer, bStride: x.channels.stride, transposeB: false,
            beta: 1, into: output.pointer, cStride: output.stride, rows: output.rows, columns: output.columns,
            depth: depth)
        return
    }
    let runLength = min(output.columns, max(64, maxColumnFloats / depth / 16 * 16))
    let columns = workspace.floats(.columns, count: depth * runLength)
    for first in stride(from: 0, to: output.columns, by: max(1, runLength)) {
        let run = first..<min(first + runLength, output.columns)
        gatherFields(of: x, for: layer, outputWidth: y.width, run: run, into: columns)
        sgemm(
            weight.start, aStride: weight.stride, columns, bStride: run.count, transposeB: false, beta: 1,
            into: output.pointer + first, cStride: output.stride, rows: output.rows, columns: run.count, depth: depth)
    }
}

/// Initialises the output with the bias, to which the products are then added; this saves a pass.
private func fillWithBias(_ bias: Matrix?, _ output: Matrix) {
    inParallel(output.rows, elementsPerItem: output.columns) { rows in
        for row in rows {
            (output.pointer + row * output.stride).update(repeating: bias?[0, row] ?? 0, count: output.columns)
        }
    }
}

/// Writes the receptive fields of a run of output pixels, `[I · kernelHeight · kernelWidth, run]` (im2col).
private func gatherFields(
    of x: FeatureMap, for layer: Convolution, outputWidth: Int, run: Range<Int>,
    into columns: UnsafeMutablePointer<Float>
) {
    let kernelCount = layer.kernelHeight * layer.kernelWidth
    inParallel(layer.inputCount, elementsPerItem: kernelCount * run.count) { channels in
        for channel in channels {
            let source = x.channels.pointer + channel * x.channels.stride
            for tap in 0..<kernelCount {
                let down = tap / layer.kernelWidth - layer.verticalPadding
                let right = tap % layer.kernelWidth - layer.horizontalPadding
                var target = columns + (channel * kernelCount + tap) * run.count
                var pixel = run.lowerBound
                while pixel < run.upperBound {
                    let (row, column) = pixel.quotientAndRemainder(dividingBy: outputWidth)
                    let count = min(outputWidth - column, run.upperBound - pixel)
                    let sourceRow = row * layer.stride + down
                    if sourceRow >= 0 && sourceRow < x.height {
                        copyRow(
                            source + sourceRow * x.width, width: x.width, from: column * layer.stride + right,
                            step: layer.stride, into: target, count: count)
                    } else {
                        target.update(repeating: 0, count: count)
                    }
                    target += count
                    pixel += count
                }
            }
        }
    }
}

/// Copies every `step`-th pixel, starting at `first`; pixels outside `0..<width` are zero.
private func copyRow(
    _ source: UnsafePointer<Float>, width: Int, from first: Int, step: Int, into target: UnsafeMutablePointer<Float>,
    count: Int
) {
    if step == 1 {
        let left = min(count, max(0, -first))
        let inside = max(0, min(count, width - first) - left)
        target.update(repeating: 0, count: left)
        (target + left).update(from: source + max(0, first), count: inside)
        (target + left + inside).update(repeating: 0, count: count - left - inside)
        return
    }
    for index in 0..<count {
        let position = first + index * step
        target[index] = position >= 0 && position < width ? source[position] : 0
    }
}
