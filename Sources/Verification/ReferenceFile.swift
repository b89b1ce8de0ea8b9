import Basics
import Foundation
import Tensors

/// The part of the engine that a reference file tests.
public enum ReferenceCase: String, Sendable, CaseIterable {
    /// Token IDs and hidden states of prompts.
    case textEncoder = "text-encoder"
    /// One forward pass of the transformer.
    case transformer
    /// Decoding of latents into an image.
    case vaeDecoder = "vae-decoder"
    /// Seeded noise.
    case noise
    /// A trajectory from prompt to image, with or without a schedule.
    case trajectory
    /// Image Reward of images and prompts.
    case imageReward = "image-reward"
    /// CLIP features of images and prompts, and their cosines.
    case clipScore = "clip-score"
    /// Features of two sets of images and their Frechet distance.
    case frechet
}

/// Inputs and expected outputs, computed with the original Python libraries by `scripts/make_reference.py`.
struct ReferenceFile {
    /// Above the sequence length of every published pipeline.
    private static let textTokenLimit = 4096

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

    /// A metadata value as a string.
    func text(_ key: String) throws -> String {
        guard let value = file.metadata[key] else {
            throw VerificationError.metadata(file: path, key: key, expected: "a string", found: nil)
        }
        return value
    }

    /// A metadata value decoded from JSON.
    func value<Value: Decodable>(_ key: String, as type: Value.Type, expected: String) throws -> Value {
        let text = try text(key)
        guard let value = try? JSONDecoder().decode(type, from: Data(text.utf8)) else { throw invalid(key, expected) }
        return value
    }

    /// The sequence length of the text, `max_length`.
    func textLength() throws -> Int {
        let expected = "an integer from 1 to \(Self.textTokenLimit)"
        let length = try value("max_length", as: Int.self, expected: expected)
        guard (1...Self.textTokenLimit).contains(length) else { throw invalid("max_length", expected) }
        return length
    }

    /// The relative L2 errors of diffusers' own bfloat16 by tensor; empty in float32.
    func bfloat16Errors(_ precision: Precision) throws -> [String: Double] {
        guard precision == .bfloat16 else { return [:] }
        let (key, expected) = ("bfloat16_errors", "errors by tensor, written by make_reference.py --bfloat16")
        guard has(metadata: key) else {
            throw VerificationError.metadata(file: path, key: key, expected: expected, found: nil)
        }
        let errors = try value(key, as: [String: Double].self, expected: expected)
        guard !errors.isEmpty, errors.values.allSatisfy({ $0 > 0 && $0 < 1 }) else { throw invalid(key, expected) }
        return errors
    }

    /// The error for an invalid metadata value.
    func invalid(_ key: String, _ expected: String) -> VerificationError {
        .metadata(file: path, key: key, expected: expected, found: file.metadata[key].map { String($0.prefix(40)) })
    }

    func has(metadata key: String) -> Bool { file.metadata[key] != nil }

    func has(tensor name: String) -> Bool { file.contains(name) }

    /// A tensor of a given shape, in which nil matches any size, with finite values.
    func tensor(_ name: String, shape: [Int?]) throws -> StoredTensor {
        let tensor = try file.tensor(name)
        let matches = tensor.shape.count == shape.count && zip(tensor.shape, shape).allSatisfy { $1 == nil || $0 == $1 }
        guard matches, !tensor.shape.contains(0) else {
            let sizes = shape.map { $0.map(String.init) ?? "n" }.joined(separator: ", ")
            throw VerificationError.tensorShape(file: path, name: name, expected: "[\(sizes)]", found: tensor.shape)
        }
        if let value = tensor.firstNonFiniteValue() {
            throw VerificationError.notFinite(file: path, name: name, value: "\(value)")
        }
        return tensor
    }
}
