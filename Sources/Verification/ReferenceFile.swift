import Foundation
import Tensors

/// What a reference file compares.
public enum ReferenceCase: String, Sendable, CaseIterable {
    /// Token ids and hidden states of prompts.
    case textEncoder = "text-encoder"
    /// One forward pass of the transformer.
    case transformer
    /// Latents to an image.
    case vaeDecoder = "vae-decoder"
    /// Seeded noise.
    case noise
    /// A whole trajectory from text to image, with or without a schedule.
    case trajectory
}

/// A file of inputs and expected outputs, written by `scripts/make_reference.py` with the original Python libraries.
struct ReferenceFile {
    let path: String
    let `case`: ReferenceCase
    private let file: SafetensorsFile

    init(path: String) throws {
        self.path = path
        file = try SafetensorsFile(path: path)
        guard file.metadata["format"] == "ecad-reference/1" else {
            throw VerificationError.metadata(file: path, key: "format", expected: "ecad-reference/1")
        }
        let name = file.metadata["case"] ?? ""
        guard let found = ReferenceCase(rawValue: name) else {
            throw VerificationError.unknownCase(file: path, found: name)
        }
        self.case = found
    }

    /// A metadata value that is plain text.
    func text(_ key: String) throws -> String {
        guard let value = file.metadata[key] else {
            throw VerificationError.metadata(file: path, key: key, expected: "a value")
        }
        return value
    }

    /// A metadata value that is JSON.
    func value<Value: Decodable>(_ key: String, as type: Value.Type, expected: String) throws -> Value {
        guard let value = try? JSONDecoder().decode(type, from: Data(try text(key).utf8)) else {
            throw VerificationError.metadata(file: path, key: key, expected: expected)
        }
        return value
    }

    /// A metadata value that may be absent.
    func optionalInteger(_ key: String) throws -> Int? {
        guard file.metadata[key] != nil else { return nil }
        return try value(key, as: Int.self, expected: "an integer")
    }

    func has(_ name: String) -> Bool { file.names.contains(name) }

    /// A tensor of a given rank, and of given sizes where they are not nil.
    func tensor(_ name: String, shape: [Int?]) throws -> StoredTensor {
        let tensor = try file.tensor(name)
        let fits = tensor.shape.count == shape.count && zip(tensor.shape, shape).allSatisfy { $1 == nil || $0 == $1 }
        guard fits, !tensor.shape.contains(0) else {
            let sizes = shape.map { $0.map(String.init) ?? "n" }.joined(separator: ", ")
            throw VerificationError.tensorShape(file: path, name: name, expected: "[\(sizes)]", found: tensor.shape)
        }
        return tensor
    }
}
