import Basics
import CKernels

/// A 3 x 3 convolution with a stride and padding of 1, by minimal filtering (Winograd's method, arXiv 1509.09308).
///
/// In float32, tiles of 4 x 4 outputs take a quarter of the multiplications, with a relative error below 1e-5; in bfloat16,
/// whose rounding larger tiles would amplify, tiles of 2 x 2 outputs take 1/2.25. An upsampling layer first doubles the map
/// by repeating its pixels (`Upsample2D` of diffusers), without writing the larger map, with a quarter of the
/// multiplications in either precision. The filters are transformed once, to 4 or 2.25 (bfloat16: 0.9) times the size of
/// float32 weights, 1 or 0.5 times for an upsampling layer.
public struct WinogradConvolution: @unchecked Sendable {
    /// I.
    public let inputCount: Int
    /// O.
    public let outputCount: Int
    /// `[1, O]`.
    public let bias: Matrix?
    /// The precision of the products.
    public let precision: Precision
    /// Whether the input is doubled.
    public var isUpsampling: Bool { method == CK_WINOGRAD_UPSAMPLED }

    fileprivate let method: ck_winograd
    /// `[position][panel][I][32]`, in bfloat16 in pairs of inputs.
    private let filters: Storage

    /// A layer with weight `[O, I · 9]`, as PyTorch stores it, and bias `[1, O]`.
    ///
    /// - Precondition: The processor supports the precision.
    public init(weight: Weight, bias: Matrix?, isUpsampling: Bool = false, precision: Precision = .float32) {
        precondition(weight.columns % 9 == 0, "\(weight.columns) weights per output for a kernel of 3 x 3")
        precondition(precision.isSupported, "the processor has no AVX512_BF16")
        requireRow(bias, columns: weight.rows)
        inputCount = weight.columns / 9
        outputCount = weight.rows
        self.bias = bias
        self.precision = precision
        method =
            isUpsampling ? CK_WINOGRAD_UPSAMPLED : precision == .float32 ? CK_WINOGRAD_4 : CK_WINOGRAD_2
        let (inputs, outputs, method) = (inputCount, outputCount, method)
        let isFloat = precision == .float32
        let panelSize = Self.panelSize(inputs: inputs, precision: precision)
        let panels = Self.panelCount(outputs: outputs)
        let size = Self.positionCount(method) * panels * panelSize
        filters = Storage(count: isFloat ? size : size / 2)
        let start = filters.pointer
        let narrow = UnsafeMutableRawPointer(start).assumingMemoryBound(to: UInt16.self)
        inParallel(panels, elementsPerItem: panelSize * Self.positionCount(method)) { range in
            var part = [Float](repeating: 0, count: Int(CK_PANEL) * weight.columns)
            for panel in range {
                let first = panel * Int(CK_PANEL)
                let count = min(Int(CK_PANEL), outputs - first)
                weight.widen(rows: first..<(first + count), into: &part)
                ck_winograd_weights(
                    method, part, weight.columns, count, inputs, panels * panelSize,
                    isFloat ? start + panel * panelSize : nil, isFloat ? nil : narrow + panel * panelSize)
            }
        }
        weight.releasePages()
    }

    /// The memory of the transformed filters in bytes.
    public var byteCount: Int { filters.count * MemoryLayout<Float>.stride }

    // MARK: - Sizes for the kernels

    private static func panelCount(outputs: Int) -> Int { (outputs + Int(CK_PANEL) - 1) / Int(CK_PANEL) }

    private static func panelSize(inputs: Int, precision: Precision) -> Int {
        (precision == .float32 ? inputs : (inputs + 1) / 2 * 2) * Int(CK_PANEL)
    }

    private static func positionCount(_ method: ck_winograd) -> Int {
        method == CK_WINOGRAD_4 ? 36 : method == CK_WINOGRAD_2 ? 16 : 9
    }

    fileprivate var positionCount: Int { Self.positionCount(method) }
    fileprivate var panelCount: Int { Self.panelCount(outputs: outputCount) }
    /// The side of a tile in outputs.
    fileprivate var tileSide: Int { method == CK_WINOGRAD_4 ? 4 : 2 }
    /// Channels of a row of transformed windows: whole vectors.
    fileprivate var rowLength: Int { (inputCount + 15) / 16 * 16 }

    /// Multiplies transformed windows `[rows, I]` by one panel of one position.
    fileprivate func multiply(
        _ x: UnsafeMutableRawPointer, rows: Int, position: Int, panel: Int, into y: UnsafeMutablePointer<Float>
    ) {
        let offset = (position * panelCount + panel) * Self.panelSize(inputs: inputCount, precision: precision)
        switch precision {
        case .float32:
            ck_panel_rows(
                x.assumingMemoryBound(to: Float.self), rowLength, rows, filters.pointer + offset, inputCount, y)
        case .bfloat16:
            let narrow = UnsafeMutableRawPointer(filters.pointer).assumingMemoryBound(to: UInt16.self)
            ck_bf16_panel_rows(
                x.assumingMemoryBound(to: UInt16.self), rowLength, rows, narrow + offset, inputCount, y)
        }
    }
}

/// Applies a convolution, `y = conv(SiLU(normalization(x)))` or `y += …`.
///
/// Blocks of 16 x 16 outputs are transformed, multiplied and transformed back in passes whose scratch memory is about 16 MB,
/// or a block for each thread if that is more. The bits depend neither on the number of threads nor on the passes.
///
/// - Parameters:
///   - x: `[H·W, I]`.
///   - layer: The layer.
///   - normalization: Applied to `x`, followed by SiLU; nil for neither.
///   - adds: Whether to add to `y` rather than to overwrite it.
///   - y: `[H·W, O]`, of twice the height and width for an upsampling layer; must not overlap `x`.
///   - moments: Set to the moments of `y`, for a group norm.
///   - workspace: Scratch memory.
public func convolve(
    _ x: ChannelsLastMap, _ layer: WinogradConvolution, normalization: ChannelNormalization? = nil, adds: Bool = false,
    into y: ChannelsLastMap, moments: ChannelMoments? = nil, workspace: Workspace
) {
    let scale = layer.isUpsampling ? 2 : 1
    precondition(x.channelCount == layer.inputCount, "\(x.channelCount) channels for \(layer.inputCount) inputs")
    precondition(
        y.channelCount == layer.outputCount && y.height == scale * x.height && y.width == scale * x.width,
        "output \(y.height) x \(y.width) x \(y.channelCount) for input \(x.height) x \(x.width)")
    if let normalization { requireRow(normalization.vectors.rows(0..<1), columns: x.channelCount) }
    moments?.prepare(height: y.height, width: y.width, channelCount: y.channelCount)
    let grid = BlockGrid(x, y, layer)
    let threads = max(1, min(BLAS.threadCount, grid.work / BlockGrid.workPerThread))
    let passCount = grid.passCount(threads: threads)
    for pass in 0..<passCount {
        let blocks = (grid.count * pass / passCount)..<(grid.count * (pass + 1) / passCount)
        ConvolutionPass(
            input: x, layer: layer, normalization: normalization, adds: adds, output: y, moments: moments, grid: grid,
            blocks: blocks, threads: threads
        ).run(workspace)
    }
}

/// The blocks of 16 x 16 outputs of a map.
private struct BlockGrid {
    /// Scratch memory of a pass in floats: about half of a common last-level cache.
    static let passSize = 4 << 20
    /// Minimum multiplications per thread: a tenth of a millisecond, because a pass wakes the threads three times.
    static let workPerThread = 1 << 23

    let method: ck_winograd
    let height, width, channelCount: Int
    let tileRows, tileColumns, tilesPerSide: Int
    private let blockRows, blockColumns: Int
    /// Floats of scratch memory for a tile.
    private let tileSize: Int
    /// Multiplications.
    let work: Int

    init(_ x: ChannelsLastMap, _ y: ChannelsLastMap, _ layer: WinogradConvolution) {
        method = layer.method
        (height, width, channelCount) = (x.height, x.width, x.channelCount)
        tileRows = (y.height + layer.tileSide - 1) / layer.tileSide
        tileColumns = (y.width + layer.tileSide - 1) / layer.tileSide
        tilesPerSide = Int(CK_BLOCK_SIDE) / layer.tileSide
        blockRows = (tileRows + tilesPerSide - 1) / tilesPerSide
        blockColumns = (tileColumns + tilesPerSide - 1) / tilesPerSide
        let windowSize = layer.precision == .float32 ? layer.rowLength : layer.rowLength / 2
        tileSize = layer.positionCount * (windowSize + layer.panelCount * Int(CK_PANEL))
        work = layer.positionCount * tileRows * tileColumns * channelCount * y.channelCount
    }

    /// The number of blocks.
    var count: Int { blockRows * blockColumns }

    func passCount(threads: Int) -> Int {
        let blocksPerPass = max(threads, Self.passSize / (tileSize * tilesPerSide * tilesPerSide), 1)
        return (count + blocksPerPass - 1) / blocksPerPass
    }

    subscript(index: Int) -> ck_winograd_block {
        let (row, column) = index.quotientAndRemainder(dividingBy: blockColumns)
        let (firstRow, firstColumn) = (row * tilesPerSide, column * tilesPerSide)
        return ck_winograd_block(
            method: method, height: height, width: width, channels: channelCount, first_row: firstRow,
            first_column: firstColumn, rows: min(tilesPerSide, tileRows - firstRow),
            columns: min(tilesPerSide, tileColumns - firstColumn))
    }
}

/// Some blocks of a convolution: their transformed windows and products fit in the scratch memory.
private struct ConvolutionPass: @unchecked Sendable {
    let input: ChannelsLastMap
    let layer: WinogradConvolution
    let normalization: ChannelNormalization?
    let adds: Bool
    let output: ChannelsLastMap
    let moments: ChannelMoments?
    let grid: BlockGrid
    let blocks: Range<Int>
    let threads: Int

    func run(_ workspace: Workspace) {
        // The tiles of a block follow those of the block before it.
        var offsets = [0]
        for index in blocks { offsets.append(offsets[offsets.count - 1] + Int(grid[index].rows * grid[index].columns)) }
        let (firstTiles, tiles) = (offsets, offsets[offsets.count - 1])
        let (positions, panels, panelWidth) = (layer.positionCount, layer.panelCount, Int(CK_PANEL))
        // Half a cache line more than whole rows: the same place in every position would share cache sets.
        let isFloat = layer.precision == .float32
        let windowStride = tiles * layer.rowLength + 32
        let productStride = panels * tiles * panelWidth + 16
        let windows = workspace.floats(.windows, count: positions * windowStride / (isFloat ? 1 : 2))
        let narrow = UnsafeMutableRawPointer(windows).assumingMemoryBound(to: UInt16.self)
        let products = workspace.floats(.products, count: positions * productStride)
        let patchSize = Int(CK_PATCH_CHANNELS) * (Int(CK_BLOCK_SIDE) + 2) * (Int(CK_BLOCK_SIDE) + 2)
        let patches = workspace.floats(.patches, count: threads * patchSize)

        inParallelItems(blocks.count, threads: threads) { item, thread in
            var block = grid[blocks.lowerBound + item]
            let first = firstTiles[item] * layer.rowLength
            let target = isFloat ? windows + first : nil
            let narrowTarget = isFloat ? nil : narrow + first
            var parameters = normalization?.kernelParameters ?? ck_normalization()
            ck_winograd_input(
                &block, input.pixels.pointer, input.pixels.stride, &parameters, target, narrowTarget, windowStride,
                layer.rowLength, patches + thread * patchSize)
        }
        inParallelItems(positions * panels, threads: threads) { item, _ in
            let (position, panel) = item.quotientAndRemainder(dividingBy: panels)
            let x: UnsafeMutableRawPointer =
                isFloat ? .init(windows + position * windowStride) : .init(narrow + position * windowStride)
            layer.multiply(
                x, rows: tiles, position: position, panel: panel,
                into: products + position * productStride + panel * tiles * panelWidth)
        }
        inParallelItems(blocks.count, threads: threads) { item, _ in
            var block = grid[blocks.lowerBound + item]
            let target = moments?.block(blocks.lowerBound + item)
            ck_winograd_output(
                &block, products + firstTiles[item] * panelWidth, productStride, tiles * panelWidth, layer.outputCount,
                layer.bias?.pointer, adds, output.pixels.pointer, output.pixels.stride, target?.mean,
                target?.deviations)
        }
    }
}
