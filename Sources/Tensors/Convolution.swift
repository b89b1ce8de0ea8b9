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
}

/// Applies a convolution: the receptive fields of a few output pixels at a time, multiplied by the weight.
///
/// The scratch memory is one panel of receptive fields per thread.
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
    let (input, output, depth) = (x.channels, y.channels, layer.weight.columns)
    var geometry = ck_convolution(
        channels: layer.inputCount, height: x.height, width: x.width, kernel_height: layer.kernelHeight,
        kernel_width: layer.kernelWidth, vertical_padding: layer.verticalPadding,
        horizontal_padding: layer.horizontalPadding, stride: layer.stride, output_width: size.width)
    fillWithBias(layer.bias, output)
    let panelWidth = Int(CK_PANEL)
    let panelCount = (output.columns + panelWidth - 1) / panelWidth
    let floatsPerThread = depth * panelWidth
    let worthwhile = layer.outputCount * depth * output.columns >= ProductTiles.minWork
    let threads = worthwhile ? min(BLAS.threadCount, panelCount) : 1
    let scratch = workspace.floats(.columns, count: threads * floatsPerThread)
    let weight = layer.weight.floats(rows: 0..<layer.outputCount, workspace: workspace)
    withUnsafePointer(to: &geometry) { geometry in
        // Safe: read only.
        nonisolated(unsafe) let geometry = geometry
        inParallelItems(panelCount, threads: threads) { index, thread in
            let panel = scratch + thread * floatsPerThread
            let first = index * panelWidth
            let count = min(panelWidth, output.columns - first)
            ck_gather_fields(input.pointer, input.stride, geometry, first, count, panel)
            ck_panel_product(
                weight.start, weight.stride, output.rows, panel, count, depth, output.pointer + first, output.stride)
        }
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
