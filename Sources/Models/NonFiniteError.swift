import ModelConfiguration
import Tensors

/// A stage of the pipeline computed infinite values or NaN.
///
/// Outputs are checked, not weights, so a sound model pays for one pass over each output. Only once an output is not
/// finite are the weights of its network read, to tell a damaged file from an overflow.
public enum NonFiniteError: Error, Equatable, CustomStringConvertible {
    /// A weight is infinite or NaN. The stage whose output showed it is nil if the weight was read before any output.
    case weight(file: String, tensor: String, value: String, stage: String?)
    /// An output is not finite although all weights in the folder are.
    case output(folder: String, stage: String)

    /// Finds the cause of an output that is not finite: reads all weights in the folder of its network.
    ///
    /// - Parameters:
    ///   - stage: The stage with its position, such as "the transformer at step 3 of 20".
    ///   - folder: The directory of the network's weights.
    public init(stage: String, folder: String) {
        // A network is of one library, and the names of the weights tell which.
        let checkpoint =
            (try? Checkpoint(folder: folder, library: .diffusers))
            ?? (try? Checkpoint(folder: folder, library: .transformers))
        let weight = try? checkpoint?.firstNonFiniteWeight()
        guard let weight else {
            self = .output(folder: folder, stage: stage)
            return
        }
        self = .weight(file: weight.file, tensor: weight.tensor, value: weight.value, stage: stage)
    }

    /// One line: the file and tensor, or the folder, and the stage.
    public var description: String {
        switch self {
        case .weight(let file, let tensor, let value, let stage):
            "\(file): the tensor \"\(tensor)\" contains \(value); expected finite numbers"
                + (stage.map { " (the output of \($0) is not finite)" } ?? "")
        case .output(let folder, let stage):
            "\(folder): the output of \(stage) is not finite although all weights are; expected a model that does not "
                + "overflow float32"
        }
    }
}

extension Checkpoint {
    /// The first weight, in the order of names, with an infinite value or NaN; reads all weights.
    func firstNonFiniteWeight() throws -> (file: String, tensor: String, value: String)? {
        for name in fileOfTensor.keys.sorted() {
            let stored = try stored(name)
            if let value = stored.firstNonFiniteValue() { return (stored.file, name, Self.spelling(value)) }
        }
        return nil
    }

    /// "NaN", "Infinity" or "-Infinity".
    static func spelling(_ value: Float) -> String {
        value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
    }
}

extension Matrix {
    /// Throws an error that names the stage and, if one is the cause, the weight, unless all values are finite.
    ///
    /// - Parameters:
    ///   - stage: The stage with its position, such as "the transformer at step 3 of 20".
    ///   - folder: The directory of the network's weights.
    /// - Throws: ``NonFiniteError``.
    public func requireFinite(_ stage: @autoclosure () -> String, folder: @autoclosure () -> String) throws {
        guard isFinite else { throw NonFiniteError(stage: stage(), folder: folder()) }
    }
}
