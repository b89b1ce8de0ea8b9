import CKernels

/// A two-dimensional convolution layer.
public struct Convolution: Sendable {
    /// `[O, I · kernelHeight · kernelWidth]`, as PyTorch stores it.
    public let weight: Weight
    /// `[1, O]`.
    public let bias: Matrix?
    /// The rows of the kernel.
    public let kernelHeight: Int
    /// The columns of the kernel.
    public let kernelWidth: Int
    /// Rows of zeros above and below the image.
    public let verticalPadding: Int
    /// Columns of zeros left and right of the image.
    public let horizontalPadding: Int
    /// The step between two outputs, in pixels, in both directions.
    public let stride: Int

    /// A layer with a kernel of any shape.
    ///
    /// - Parameters:
    ///   - weight: `[O, I · kernelHeight · kernelWidth]`.
    ///   - bias: `[1, O]`.
    ///   - kernelHeight: The rows of the kernel.
    ///   - kernelWidth: The columns of the kernel.
    ///   - verticalPadding: Rows of zeros above and below.
    ///   - horizontalPadding: Columns of zeros left and right.
    ///   - stride: The step between two outputs.
    public init(
        weight: Weight, bias: Matrix?, kernelHeight: Int, kernelWidth: Int, verticalPadding: Int,
        horizontalPadding: Int, stride: Int = 1
    ) {
        precondition(kernelHeight > 0 && kernelWidth > 0 && stride > 0, "an empty kernel or step")
        precondition(verticalPadding >= 0 && horizontalPadding >= 0, "a negative padding")
        precondition(weight.columns % (kernelHeight * kernelWidth) == 0, "weight and kernel do not fit")
        requireRow(bias, columns: weight.rows)
        self.weight = weight
        self.bias = bias
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.verticalPadding = verticalPadding
        self.horizontalPadding = horizontalPadding
        self.stride = stride
    }

    /// A layer with a square kernel.
    ///
    /// - Parameters:
    ///   - weight: `[O, I · kernelSize²]`.
    ///   - bias: `[1, O]`.
    ///   - kernelSize: The rows and the columns of the kernel.
    ///   - padding: Zeros on each side.
    ///   - stride: The step between two outputs.
    public init(weight: Weight, bias: Matrix?, kernelSize: Int, padding: Int, stride: Int = 1) {
        self.init(
            weight: weight, bias: bias, kernelHeight: kernelSize, kernelWidth: kernelSize, verticalPadding: padding,
            horizontalPadding: padding, stride: stride)
    }

    /// The input channels.
    public var inputCount: Int { weight.columns / (kernelHeight * kernelWidth) }

    /// The output channels.
    public var outputCount: Int { weight.rows }

    /// The size of the output for an input of that size.
    public func outputSize(height: Int, width: Int) -> (height: Int, width: Int) {
        (
            (height + 2 * verticalPadding - kernelHeight) / stride + 1,
            (width + 2 * horizontalPadding - kernelWidth) / stride + 1
        )
    }

    /// Whether the output's pixels are products with the input's, without neighbours.
    fileprivate var isPointwise: Bool {
        kernelHeight == 1 && kernelWidth == 1 && verticalPadding == 0 && horizontalPadding == 0 && stride == 1
    }
}

/// The most floats of receptive fields held at a time: 4 MB.
private let mostColumnFloats = 1 << 20

/// Applies a convolution by matrix products over runs of output pixels.
///
/// - Parameters:
///   - x: `[I, H·W]`.
///   - layer: The layer.
///   - y: `[O, H'·W']`, the size that ``Convolution/outputSize(height:width:)`` gives; overwritten, no part of `x`.
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
    let runLength = min(output.columns, max(64, mostColumnFloats / depth / 16 * 16))
    let columns = workspace.floats(.columns, count: depth * runLength)
    for first in stride(from: 0, to: output.columns, by: max(1, runLength)) {
        let run = first..<min(first + runLength, output.columns)
        gatherFields(of: x, for: layer, outputWidth: y.width, run: run, into: columns)
        sgemm(
            weight.start, aStride: weight.stride, columns, bStride: run.count, transposeB: false, beta: 1,
            into: output.pointer + first, cStride: output.stride, rows: output.rows, columns: run.count, depth: depth)
    }
}

/// The products are added to the bias, which saves a pass over the output.
private func fillWithBias(_ bias: Matrix?, _ output: Matrix) {
    inParallel(output.rows, elementsPerItem: output.columns) { rows in
        for row in rows {
            (output.pointer + row * output.stride).update(repeating: bias?[0, row] ?? 0, count: output.columns)
        }
    }
}

/// Writes the receptive fields of a run of output pixels, `[I · kernelHeight · kernelWidth, run]` ("im2col").
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

/// Copies every `step`-th of the pixels from `first` on, with zeros outside of `0..<width`.
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
