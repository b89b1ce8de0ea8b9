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
    /// Rewards of images for prompts.
    case imageReward = "image-reward"
    /// Features of images and prompts, and their cosines.
    case clipScore = "clip-score"
    /// Features of two sets of images, and the Frechet distance between them.
    case frechet
}

/// A file of inputs and expected outputs, written by `scripts/make_reference.py` with the original Python libraries.
struct ReferenceFile {
    /// More text tokens than any published pipeline reads.
    private static let mostTextTokens = 4096

    let path: String
    let `case`: ReferenceCase
    private let file: SafetensorsFile

    init(path: String) throws {
        self.path = path
        file = try SafetensorsFile(path: path)
        let format = file.metadata["format"]
        guard format == "ecad-reference/1" else {
            throw VerificationError.metadata(file: path, key: "format", expected: "ecad-reference/1", found: format)
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
            throw VerificationError.metadata(file: path, key: key, expected: "a value", found: nil)
        }
        return value
    }

    /// A metadata value that is JSON.
    func value<Value: Decodable>(_ key: String, as type: Value.Type, expected: String) throws -> Value {
        let text = try text(key)
        guard let value = try? JSONDecoder().decode(type, from: Data(text.utf8)) else { throw fault(key, expected) }
        return value
    }

    /// The number of text tokens, `max_length`.
    func textLength() throws -> Int {
        let expected = "an integer from 1 to \(Self.mostTextTokens)"
        let length = try value("max_length", as: Int.self, expected: expected)
        guard (1...Self.mostTextTokens).contains(length) else { throw fault("max_length", expected) }
        return length
    }

    /// The error of a metadata value that is not what it should be.
    func fault(_ key: String, _ expected: String) -> VerificationError {
        .metadata(file: path, key: key, expected: expected, found: file.metadata[key].map { String($0.prefix(40)) })
    }

    func has(metadata key: String) -> Bool { file.metadata[key] != nil }

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
