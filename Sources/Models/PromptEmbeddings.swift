import Foundation
import ModelConfiguration
import Tensors

/// Prompts' embeddings in a file, so that machines without the text encoders can generate images.
///
/// A safetensors file: for prompt n the tensor `n.text`, [S, d_model], and for FLUX `n.pooled`, [1, D]; `negative.text` and
/// `negative.pooled` for the prompt of the unconditional half. What they belong to is in the metadata.
public struct PromptEmbeddings: Sendable {
    private static let format = "ecad-embeddings/1"

    private enum Key {
        static let format = "format"
        static let kind = "kind"
        static let textEncoder = "text_encoder"
        static let prompts = "prompts"
        static let negativePrompt = "negative_prompt"
        static let maxLength = "max_length"
    }

    /// The file.
    public let path: String
    /// The prompts.
    public let prompts: [String]
    /// The prompt of the unconditional half.
    public let negativePrompt: String
    /// The fingerprint of the text encoders and tokenizers that made them.
    public let textEncoder: String

    private let kind: String
    private let maxLength: String
    private let file: SafetensorsFile
    /// Prompts by their bytes: texts that look alike can have different tokens.
    private let positions: [[UInt8]: Int]

    /// Opens a file of embeddings; they are read when they are asked for.
    ///
    /// - Throws: `TensorsError`, ``ModelsError/invalidArgument(_:)`` for a file of something else.
    public init(path: String) throws {
        let file = try SafetensorsFile(path: path)
        func value(_ key: String) throws -> String {
            guard let value = file.metadata[key] else {
                throw ModelsError.invalidArgument(
                    "\(path): the metadata key \"\(key)\" is missing; ecad embed writes it")
            }
            return value
        }
        guard file.metadata[Key.format] == Self.format else {
            throw ModelsError.invalidArgument("\(path): not a file of prompt embeddings, as ecad embed writes it")
        }
        guard let prompts = try? JSONDecoder().decode([String].self, from: Data(try value(Key.prompts).utf8)) else {
            throw ModelsError.invalidArgument("\(path): \"\(Key.prompts)\" is no JSON array of strings")
        }
        self.path = path
        self.file = file
        self.prompts = prompts
        negativePrompt = try value(Key.negativePrompt)
        textEncoder = try value(Key.textEncoder)
        kind = try value(Key.kind)
        maxLength = try value(Key.maxLength)
        positions = Dictionary(prompts.enumerated().map { (Array($1.utf8), $0) }) { first, _ in first }
    }

    /// Checks that a model of this family reads such embeddings.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)``.
    public func check(for model: ModelFolder) throws {
        guard kind == model.embeddingKind, maxLength == "\(model.maxTextLength)" else {
            throw ModelsError.invalidArgument(
                "\(path): made for \(kind) with at most \(maxLength) text tokens, \(model.path) is \(model.embeddingKind) "
                    + "with \(model.maxTextLength)")
        }
    }

    /// The embedding of a prompt.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` if the file has none; `TensorsError`.
    public func embedding(of prompt: String) throws -> PromptEmbedding {
        guard let position = positions[Array(prompt.utf8)] else {
            throw ModelsError.invalidArgument(
                "\(path): has no embedding of the prompt \"\(prompt.prefix(60))\"; write the file again with ecad embed"
            )
        }
        return try read("\(position)")
    }

    /// The embedding of the prompt of the unconditional half.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` if the file was made for another; `TensorsError`.
    public func negative(_ prompt: String) throws -> PromptEmbedding {
        guard Array(prompt.utf8) == Array(negativePrompt.utf8) else {
            throw ModelsError.invalidArgument(
                "\(path): made for the negative prompt \"\(negativePrompt)\", not \"\(prompt)\"")
        }
        return try read("negative")
    }

    private func read(_ name: String) throws -> PromptEmbedding {
        func matrix(_ part: String) throws -> Matrix {
            let stored = try file.tensor("\(name).\(part)")
            guard stored.shape.count == 2, stored.shape.allSatisfy({ $0 > 0 }) else {
                throw ModelsError.tensorShape(path: path, name: stored.name, expected: [-1, -1], found: stored.shape)
            }
            return try stored.matrix(rows: stored.shape[0], columns: stored.shape[1])
        }
        return PromptEmbedding(
            text: try matrix("text"), pooled: kind == ModelFamily.flux.embeddingKind ? try matrix("pooled") : nil)
    }

    /// Encodes prompts and writes the file.
    ///
    /// - Parameters:
    ///   - prompts: The prompts.
    ///   - negativePrompt: The prompt of the unconditional half.
    ///   - model: The model whose text encoders to use; they are let go at the end.
    ///   - fingerprint: That of its text encoders and tokenizers.
    ///   - path: The file; one of that name is replaced.
    /// - Throws: ``ModelsError``, `TensorsError`.
    public static func write(
        prompts: [String], negativePrompt: String, model: ModelFolder, fingerprint: String, to path: String
    ) throws {
        let encoding = try TextEncoding(model: model)
        var tensors: [SafetensorsFile.NewTensor] = []
        let names = ["negative"] + prompts.indices.map(String.init)
        for (name, text) in zip(names, [negativePrompt] + prompts) {
            let embedding = try encoding.embed(text)
            for (part, matrix) in [("text", embedding.text), ("pooled", embedding.pooled)] {
                guard let matrix else { continue }
                tensors.append(
                    SafetensorsFile.NewTensor(
                        "\(name).\(part)", shape: [matrix.rows, matrix.columns], values: .floats(matrix.values)))
            }
        }
        let list = String(decoding: try JSONEncoder().encode(prompts), as: UTF8.self)
        let metadata = [
            Key.format: format, Key.kind: model.embeddingKind, Key.textEncoder: fingerprint, Key.prompts: list,
            Key.negativePrompt: negativePrompt, Key.maxLength: "\(model.maxTextLength)",
        ]
        try SafetensorsFile.write(tensors, metadata: metadata, to: path)
    }
}

extension ModelFamily {
    /// PixArt's embeddings leave padding out, FLUX's have a pooled one beside them.
    fileprivate var embeddingKind: String { self == .flux ? "flux" : "pixart" }
}

extension ModelFolder {
    fileprivate var embeddingKind: String { family.embeddingKind }
}

/// Where a model's prompts are embedded: by its own text encoders, or beforehand.
public enum EmbeddingSource {
    /// By the text encoders in the model's folder, which are let go before anything else is opened.
    case textEncoders
    /// By whoever wrote the file.
    case file(PromptEmbeddings)

    /// The embeddings of a negative prompt and of prompts.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public func embed(
        _ prompts: [String], negativePrompt: String, model: ModelFolder
    ) throws -> (negative: PromptEmbedding, prompts: [PromptEmbedding]) {
        switch self {
        case .textEncoders:
            let text = try TextEncoding(model: model)
            return (try text.embed(negativePrompt), try prompts.map { try text.embed($0) })
        case .file(let file):
            try file.check(for: model)
            return (try file.negative(negativePrompt), try prompts.map(file.embedding))
        }
    }
}
