import Foundation
import Tensors

/// The sinusoid embedding of a number as diffusers' `Timesteps` gives it: [cos | sin], `downscale_freq_shift` 0.
///
/// - Parameters:
///   - value: A timestep, or a size in pixels.
///   - count: The even length of the embedding.
/// - Returns: `count` values.
func sinusoid(_ value: Float, count: Int = 256) -> [Float] {
    let half = count / 2
    let angles = (0..<half).map { value * exp(-Float(log(10000.0)) * Float($0) / Float(half)) }
    return angles.map { cos($0) } + angles.map { sin($0) }
}

/// The two-layer perceptron with SiLU that embeds timesteps and sizes (`TimestepEmbedding`).
struct SinusoidEmbedder {
    let first, second: Linear

    init(_ checkpoint: Checkpoint, prefix: String, width: Int) throws {
        first = try checkpoint.linear("\(prefix).linear_1", inputs: 256, outputs: width)
        second = try checkpoint.linear("\(prefix).linear_2", inputs: width, outputs: width)
    }

    /// Embeds each value to a row of the result, [values, width].
    func callAsFunction(_ values: [Float], workspace: Workspace) -> Matrix {
        let sinusoids = Matrix(values.flatMap { sinusoid($0) }, rows: values.count, columns: 256)
        let hidden = Matrix(rows: values.count, columns: first.weight.rows)
        let output = Matrix(rows: values.count, columns: second.weight.rows)
        linear(sinusoids, first, activation: .silu, into: hidden, workspace: workspace)
        linear(hidden, second, into: output, workspace: workspace)
        return output
    }
}

/// The fixed 2-D position embedding of PixArt (`get_2d_sincos_pos_embed`), [height * width, D].
///
/// - Parameters:
///   - height: Rows of the token grid.
///   - width: Columns of the token grid.
///   - baseSize: The side of the native token grid.
///   - interpolationScale: Coordinates are divided by it.
///   - dimension: D; its first half encodes the column, its second the row, each as [sin | cos].
/// - Returns: One row for each token, row by row of the grid.
func positionEmbedding(height: Int, width: Int, baseSize: Int, interpolationScale: Double, dimension: Int) -> Matrix {
    let quarter = dimension / 4
    let frequencies = (0..<quarter).map { pow(10000, -Double($0) / Double(quarter)) }
    func coordinate(_ index: Int, _ count: Int) -> Double {
        // numpy divides float32 coordinates here, before the sinusoid is taken in float64.
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
