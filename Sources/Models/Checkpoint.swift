import Basics
import ModelConfiguration
import Tensors

/// The weights of a network in the layout of `save_pretrained`: one safetensors file, or shards with an index.
///
/// Files are memory-mapped, and weights keep their stored type (see ``Tensors/Weight``).
public struct Checkpoint: Sendable {
    /// The directory with the weights.
    public let folder: String
    private let files: [SafetensorsFile]
    let fileOfTensor: [String: Int]

    /// Opens the weights in a directory such as `transformer/`.
    ///
    /// - Parameters:
    ///   - folder: The directory.
    ///   - library: The library whose names and rules apply; see `WeightFiles`.
    /// - Throws: `FileError` if there are none or a shard is missing, `JSONError`, `TensorsError` if a file is corrupt.
    public init(folder: String, library: WeightFiles.Library) throws {
        let weights = try WeightFiles(folder: folder, library: library)
        self.folder = folder
        files = try weights.names.map { try SafetensorsFile(path: "\(folder)/\($0)") }
        let position = Dictionary(uniqueKeysWithValues: weights.names.enumerated().map { ($1, $0) })
        if weights.index != nil {
            fileOfTensor = weights.fileOfTensor.compactMapValues { position[$0] }
        } else {
            let names = files.first?.names ?? []
            fileOfTensor = Dictionary(uniqueKeysWithValues: names.map { ($0, 0) })
        }
    }

    /// Whether there is a tensor with this name.
    public func has(_ name: String) -> Bool { fileOfTensor[name] != nil }

    /// A tensor as stored, of any shape.
    func stored(_ name: String) throws -> StoredTensor {
        guard let index = fileOfTensor[name] else { throw ModelsError.missingTensor(path: folder, name: name) }
        return try files[index].tensor(name)
    }

    /// A tensor as stored; its shape must be the given one.
    ///
    /// - Throws: ``ModelsError/missingTensor(path:name:)``, ``ModelsError/tensorShape(path:name:expected:found:)``.
    public func tensor(_ name: String, shape: [Int]) throws -> StoredTensor {
        let stored = try stored(name)
        guard stored.shape == shape else {
            throw ModelsError.tensorShape(path: folder, name: name, expected: shape, found: stored.shape)
        }
        return stored
    }

    /// A weight matrix `[rows, columns]`, as stored.
    public func weight(_ name: String, rows: Int, columns: Int) throws -> Weight {
        try Weight(tensor(name, shape: [rows, columns]), rows: rows, columns: columns)
    }

    /// A tensor of the given shape as a float32 matrix `[rows, columns]`; copies, so for small tensors only.
    ///
    /// - Throws: As ``tensor(_:shape:)``, and ``NonFiniteError`` if a value is infinite or NaN.
    public func matrix(_ name: String, shape: [Int], rows: Int, columns: Int) throws -> Matrix {
        let stored = try tensor(name, shape: shape)
        let matrix = Matrix(try stored.floats(), rows: rows, columns: columns)
        if !matrix.isFinite, let value = stored.firstNonFiniteValue() {
            throw NonFiniteError.weight(
                file: stored.file, tensor: name, value: Self.spelling(value), stage: nil)
        }
        return matrix
    }

    /// A vector as a float32 matrix `[1, count]`; copies.
    public func vector(_ name: String, count: Int) throws -> Matrix {
        try matrix(name, shape: [count], rows: 1, columns: count)
    }

    /// The linear layer with `prefix.weight`, `[outputs, inputs]`, and, if `bias`, `prefix.bias`, `[outputs]`.
    ///
    /// For products in bfloat16 the weight is packed.
    public func linear(
        _ prefix: String, inputs: Int, outputs: Int, bias: Bool = true, precision: Precision = .float32
    ) throws -> Linear {
        let layer = Linear(
            weight: try weight("\(prefix).weight", rows: outputs, columns: inputs),
            bias: bias ? try vector("\(prefix).bias", count: outputs) : nil)
        return precision == .bfloat16 ? layer.packed : layer
    }
}
