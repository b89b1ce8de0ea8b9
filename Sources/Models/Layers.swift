import Basics
import Foundation
import Tensors

/// A layer norm with weight and bias.
struct LayerNorm {
    let weight, bias: Matrix
    let epsilon: Float

    init(_ checkpoint: Checkpoint, _ name: String, count: Int, epsilon: Float) throws {
        weight = try checkpoint.vector("\(name).weight", count: count)
        bias = try checkpoint.vector("\(name).bias", count: count)
        self.epsilon = epsilon
    }

    func apply(_ x: Matrix, into y: Matrix) { layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: y) }
}

/// Layers with a common input, computed as one: the columns of the output are those of the layers side by side.
struct StackedLinear {
    /// One layer with a packed weight in bfloat16; in float32 each layer, whose weight stays as stored.
    private let layers: [Linear]

    init(
        _ checkpoint: Checkpoint, _ prefix: String, _ names: [String], inputs: Int, outputs: Int, precision: Precision
    ) throws {
        let stored = try names.map { try checkpoint.linear("\(prefix).\($0)", inputs: inputs, outputs: outputs) }
        guard precision == .bfloat16, outputs % Weight.packedRowMultiple == 0 else {
            layers = precision == .float32 ? stored : stored.map(\.packed)
            return
        }
        let bias = Matrix(rows: 1, columns: names.count * outputs)
        for (index, layer) in stored.enumerated() {
            if let part = layer.bias { bias.columns((index * outputs)..<((index + 1) * outputs)).copy(from: part) }
        }
        layers = [Linear(weight: Weight(packing: stored.map(\.weight)), bias: bias)]
    }

    func apply(_ x: Matrix, into y: Matrix, workspace: Workspace) {
        var first = 0
        for index in layers.indices {
            let columns = first..<(first + layers[index].weight.rows)
            linear(x, layers[index], into: y.columns(columns), workspace: workspace)
            first = columns.upperBound
        }
    }
}

/// The sinusoidal embedding of diffusers' `Timesteps`: [cos | sin] with `downscale_freq_shift` 0.
///
/// - Parameters:
///   - value: A timestep, or a size in pixels.
///   - count: The length of the embedding, even.
/// - Returns: `count` values.
func sinusoid(_ value: Float, count: Int = 256) -> [Float] {
    let half = count / 2
    let angles = (0..<half).map { value * exp(-Float(log(10000.0)) * Float($0) / Float(half)) }
    return angles.map { cos($0) } + angles.map { sin($0) }
}

/// The two-layer MLP with SiLU that embeds timesteps and sizes (`TimestepEmbedding` of diffusers).
struct SinusoidEmbedder {
    let first, second: Linear

    init(_ checkpoint: Checkpoint, prefix: String, width: Int) throws {
        first = try checkpoint.linear("\(prefix).linear_1", inputs: 256, outputs: width)
        second = try checkpoint.linear("\(prefix).linear_2", inputs: width, outputs: width)
    }

    /// The embeddings of N values, `[N, width]`.
    func callAsFunction(_ values: [Float], workspace: Workspace) -> Matrix {
        let sinusoids = Matrix(values.flatMap { sinusoid($0) }, rows: values.count, columns: 256)
        let hidden = Matrix(rows: values.count, columns: first.weight.rows)
        let output = Matrix(rows: values.count, columns: second.weight.rows)
        linear(sinusoids, first, activation: .silu, into: hidden, workspace: workspace)
        linear(hidden, second, into: output, workspace: workspace)
        return output
    }
}

/// The fixed 2D position embedding of PixArt (`get_2d_sincos_pos_embed` of diffusers).
///
/// - Parameters:
///   - height: Rows of the token grid.
///   - width: Columns of the token grid.
///   - baseSize: The side of the native token grid.
///   - interpolationScale: Divides the coordinates.
///   - dimension: D; the first half encodes the column, the second the row, each as [sin | cos].
/// - Returns: `[height · width, D]`, tokens in row-major order.
func positionEmbedding(height: Int, width: Int, baseSize: Int, interpolationScale: Double, dimension: Int) -> Matrix {
    let quarter = dimension / 4
    let frequencies = (0..<quarter).map { pow(10000, -Double($0) / Double(quarter)) }
    func coordinate(_ index: Int, _ count: Int) -> Double {
        // As in NumPy, coordinates are divided in float32 and the sinusoid is computed in float64.
        let scaled = Float(index) / (Float(count) / Float(baseSize))
        return Double(scaled / Float(interpolationScale))
    }
    func encode(_ position: Double) -> [Float] {
        frequencies.map { Float(sin(position * $0)) } + frequencies.map { Float(cos(position * $0)) }
    }
    let columns = (0..<width).map { encode(coordinate($0, width)) }
    let rows = (0..<height).map { encode(coordinate($0, height)) }
    let values = rows.flatMap { row in columns.flatMap { column in column + row } }
    return Matrix(values, rows: height * width, columns: dimension)
}

/// Multi-axis rotary position embeddings of FLUX (`FluxPosEmbed` of diffusers): every axis rotates its own columns of each
/// head.
struct RotaryEmbedding: Sendable {
    /// `[T, head dimension]`, equal in both columns of a pair.
    let cosine: Matrix
    /// `[T, head dimension]`, negated in the first column of a pair.
    let sine: Matrix

    /// - Parameters:
    ///   - positions: The positions of every token along the axes, `[T, axes]`.
    ///   - dimensions: The number of columns per axis, even.
    init(positions: Matrix, dimensions: [Int]) {
        precondition(
            positions.columns == dimensions.count, "\(positions.columns) coordinates for \(dimensions.count) axes")
        // In double precision up to the sine, as in the original.
        let frequencies = dimensions.map { count in
            (0..<(count / 2)).map { 1 / pow(10000, Double(2 * $0) / Double(count)) }
        }
        let angles = (0..<positions.rows).flatMap { token in
            frequencies.indices.flatMap { axis in frequencies[axis].map { Double(positions[token, axis]) * $0 } }
        }
        let columns = dimensions.reduce(0, +)
        cosine = Matrix(angles.flatMap { [Float(cos($0)), Float(cos($0))] }, rows: positions.rows, columns: columns)
        sine = Matrix(angles.flatMap { [Float(-sin($0)), Float(sin($0))] }, rows: positions.rows, columns: columns)
    }

    /// Applies a norm to each head of queries or keys of some tokens, `[tokens, heads · head dimension]`, and rotates them.
    func apply(to x: Matrix, tokens: Range<Int>, normWeight: Matrix, epsilon: Float, into y: Matrix) {
        applyRotaryEmbedding(
            to: x, normWeight: normWeight, epsilon: epsilon, cosine: cosine.rows(tokens), sine: sine.rows(tokens),
            into: y)
    }
}

/// The division of latents `[C, h, w]` into square patches, one token each.
struct PatchGrid {
    /// C: channels of the latents.
    let channels: Int
    /// p: pixels along each side of a patch.
    let side: Int
    /// Rows of the grid, h / p.
    let rows: Int
    /// Columns of the grid, w / p.
    let columns: Int

    /// Converts latents `[1, C·h·w]` to tokens `[rows · columns, C·p·p]` in the order (channel, row, column).
    func patchify(_ image: Matrix, into patches: Matrix) {
        forEachRun(image, patches) { pixels, values in values.update(from: pixels, count: side) }
    }

    /// Converts tokens back to latents: the inverse of ``patchify(_:into:)``.
    func unpatchify(_ patches: Matrix, into image: Matrix) {
        forEachRun(image, patches) { pixels, values in pixels.update(from: values, count: side) }
    }

    /// Calls `body` with every row of pixels of every channel of every patch.
    private func forEachRun(
        _ image: Matrix, _ patches: Matrix, _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
    ) {
        let (height, width) = (rows * side, columns * side)
        precondition(
            image.count == channels * height * width && patches.rows == rows * columns,
            "\(patches.rows) patches for a grid of \(rows) x \(columns)")
        for token in 0..<patches.rows {
            let (gridRow, gridColumn) = token.quotientAndRemainder(dividingBy: columns)
            let patch = patches.pointer + token * patches.stride
            for channel in 0..<channels {
                for row in 0..<side {
                    let pixels = (channel * height + gridRow * side + row) * width + gridColumn * side
                    body(image.pointer + pixels, patch + (channel * side + row) * side)
                }
            }
        }
    }
}

/// The input tokens of a vision transformer: the class token, then the patches in row-major order, plus positions.
///
/// - Parameters:
///   - pixels: A normalised image, `[3, side²]`.
///   - patches: A convolution whose stride equals its kernel size.
///   - classToken: `[1, D]`.
///   - positions: `[1 + patches, D]`.
///   - tokens: `[1 + patches, D]`; overwritten.
///   - workspace: Scratch memory.
func embedPatches(
    _ pixels: FeatureMap, _ patches: Convolution, classToken: Matrix, positions: Matrix, into tokens: Matrix,
    workspace: Workspace
) {
    let size = patches.outputSize(height: pixels.height, width: pixels.width)
    let map = FeatureMap(channelCount: patches.outputCount, height: size.height, width: size.width)
    convolve(pixels, patches, into: map, workspace: workspace)
    tokens.rows(0..<1).copy(from: classToken)
    transpose(map.channels, into: tokens.rows(1..<tokens.rows))
    add(positions, to: tokens)
}
