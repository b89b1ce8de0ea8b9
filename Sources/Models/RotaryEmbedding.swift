import Foundation
import Tensors

/// The rotations of FLUX's tokens (`FluxPosEmbed` of diffusers): each token has a position along several axes, and each axis turns its
/// own columns of every head.
struct RotaryEmbedding: Sendable {
    /// The cosines, [T, head dimension], each standing in both columns of a pair.
    let cosine: Matrix
    /// The sines, [T, head dimension], negative in the first column of a pair.
    let sine: Matrix

    /// Tabulates the rotations.
    ///
    /// - Parameters:
    ///   - positions: The positions of every token, [T, axes].
    ///   - dimensions: The even number of columns that each axis turns.
    init(positions: Matrix, dimensions: [Int]) {
        precondition(positions.columns == dimensions.count, "a position along each axis")
        // In double precision up to the sine, as the original.
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

    /// Turns queries or keys [T, heads * head dimension] in place.
    func apply(to x: Matrix) {
        rotate(x, cosine: cosine, sine: sine)
    }
}
