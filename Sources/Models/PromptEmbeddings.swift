import Foundation
import ModelConfiguration
import Tensors

/// A file of prompt embeddings, for generating images on machines without the text encoders.
///
/// A safetensors file. Prompt n has the tensor `n.text`, `[S, d_model]`, and for FLUX `n.pooled`, `[1, D]`; the negative
/// prompt has `negative.text` and `negative.pooled`. The metadata holds the prompts and identifies the text encoders.
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

    /// The path of the file.
    public let path: String
    /// The prompts with an embedding.
    public let prompts: [String]
    /// The negative prompt for classifier-free guidance.
    public let negativePrompt: String
    /// The fingerprint of the text encoders and tokenizers that produced the embeddings.
    public let textEncoder: String

    private let kind: String
    private let maxLength: String
    private let file: SafetensorsFile
    /// Keyed by UTF-8, because `String` equates canonically equivalent texts, whose tokens differ.
    private let indexOfPrompt: [[UInt8]: Int]

    /// Opens a file; embeddings are read on demand.
    ///
    /// - Throws: `TensorsError`, ``ModelsError/promptEmbeddings(path:reason:)`` for another kind of file.
    public init(path: String) throws {
        let file = try SafetensorsFile(path: path)
        func value(_ key: String) throws -> String {
            guard let value = file.metadata[key] else {
                throw ModelsError.promptEmbeddings(
                    path: path, reason: "the metadata key \"\(key)\" is missing; expected a file written by ecad embed")
            }
            return value
        }
        guard file.metadata[Key.format] == Self.format else {
            throw ModelsError.promptEmbeddings(
                path: path, reason: "not a file of prompt embeddings; expected one written by ecad embed")
        }
        guard let prompts = try? JSONDecoder().decode([String].self, from: Data(try value(Key.prompts).utf8)) else {
            throw ModelsError.promptEmbeddings(
                path: path, reason: "the metadata key \"\(Key.prompts)\" is not a JSON array of strings")
        }
        self.path = path
        self.file = file
        self.prompts = prompts
        negativePrompt = try value(Key.negativePrompt)
        textEncoder = try value(Key.textEncoder)
        kind = try value(Key.kind)
        maxLength = try value(Key.maxLength)
        indexOfPrompt = Dictionary(prompts.enumerated().map { (Array($1.utf8), $0) }) { first, _ in first }
    }

    /// Checks that the family and text length match a model.
    ///
    /// - Throws: ``ModelsError/promptEmbeddings(path:reason:)``.
    public func check(for model: ModelFolder) throws {
        guard kind == model.embeddingKind, maxLength == "\(model.maxTextLength)" else {
            throw ModelsError.promptEmbeddings(
                path: path,
                reason: "made for \(kind) with at most \(maxLength) text tokens; \(model.path) is "
                    + "\(model.embeddingKind) with \(model.maxTextLength)")
        }
    }

    /// The embedding of a prompt.
    ///
    /// - Throws: ``ModelsError/promptEmbeddings(path:reason:)`` if the file has none; `TensorsError`.
    public func embedding(of prompt: String) throws -> PromptEmbedding {
        guard let index = indexOfPrompt[Array(prompt.utf8)] else {
            throw ModelsError.promptEmbeddings(
                path: path,
                reason: "has no embedding of the prompt \"\(prompt.prefix(60))\"; write the file again with ecad embed")
        }
        return try read("\(index)")
    }

    /// The embedding of the negative prompt.
    ///
    /// - Throws: ``ModelsError/promptEmbeddings(path:reason:)`` if the file has another negative prompt; `TensorsError`.
    public func negative(_ prompt: String) throws -> PromptEmbedding {
        guard Array(prompt.utf8) == Array(negativePrompt.utf8) else {
            throw ModelsError.promptEmbeddings(
                path: path, reason: "made for the negative prompt \"\(negativePrompt)\", not \"\(prompt)\"")
        }
        return try read("negative")
    }

    private func read(_ name: String) throws -> PromptEmbedding {
        func matrix(_ part: String) throws -> Matrix {
            let stored = try file.tensor("\(name).\(part)")
            guard stored.shape.count == 2, stored.shape.allSatisfy({ $0 > 0 }) else {
                throw ModelsError.promptEmbeddings(
                    path: path,
                    reason: "the tensor \"\(stored.name)\" has shape \(stored.shape); expected two positive extents")
            }
            if let value = stored.firstNonFiniteValue() {
                throw ModelsError.promptEmbeddings(
                    path: path,
                    reason: "the tensor \"\(stored.name)\" contains \(Checkpoint.spelling(value)); expected finite "
                        + "numbers, write the file again with ecad embed")
            }
            return try stored.matrix(rows: stored.shape[0], columns: stored.shape[1])
        }
        return PromptEmbedding(
            text: try matrix("text"), pooled: kind == ModelFamily.flux.embeddingKind ? try matrix("pooled") : nil)
    }

    /// Encodes prompts and writes them to a file.
    ///
    /// - Parameters:
    ///   - prompts: The prompts.
    ///   - negativePrompt: The negative prompt for classifier-free guidance.
    ///   - model: The model whose text encoders to use; they are released before this returns.
    ///   - fingerprint: The fingerprint of the text encoders and tokenizers.
    ///   - path: The file; an existing one is replaced atomically.
    /// - Returns: Warnings about prompts that the text encoders truncate.
    /// - Throws: ``ModelsError``, `TensorsError`.
    @discardableResult
    public static func write(
        prompts: [String], negativePrompt: String, model: ModelFolder, fingerprint: String, to path: String
    ) throws -> [String] {
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
        return encoding.truncationWarnings(prompts: prompts, negativePrompt: negativePrompt)
    }
}

extension ModelFamily {
    /// PixArt's embeddings omit padding; FLUX's include it and a pooled embedding.
    fileprivate var embeddingKind: String { self == .flux ? "flux" : "pixart" }
}

extension ModelFolder {
    fileprivate var embeddingKind: String { family.embeddingKind }
}

/// The source of prompt embeddings: the model's text encoders, or a file.
public enum EmbeddingSource {
    /// The text encoders in the model directory, released before anything else is opened.
    case textEncoders
    /// Embeddings computed beforehand.
    case file(PromptEmbeddings)

    /// The embeddings of the negative prompt and of the prompts, and warnings about prompts that are truncated.
    ///
    /// A file of embeddings gives no warnings: `ecad embed` gave them.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public func embed(
        _ prompts: [String], negativePrompt: String, model: ModelFolder
    ) throws -> (negative: PromptEmbedding, prompts: [PromptEmbedding], warnings: [String]) {
        switch self {
        case .textEncoders:
            let text = try TextEncoding(model: model)
            return (
                try text.embed(negativePrompt), try prompts.map { try text.embed($0) },
                text.truncationWarnings(prompts: prompts, negativePrompt: negativePrompt)
            )
        case .file(let file):
            try file.check(for: model)
            return (try file.negative(negativePrompt), try prompts.map(file.embedding), [])
        }
    }
}
