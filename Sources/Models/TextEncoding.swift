import ModelConfiguration
import Tensors

/// The text encoders of a model, which turn prompts into embeddings.
///
/// To save memory, encode all prompts and release this value before opening the transformer.
public struct TextEncoding {
    private struct CLIP {
        let tokenizer: CLIPTokenizer
        let encoder: CLIPTextEncoder
    }

    private let tokenizer: T5Tokenizer
    private let encoder: T5Encoder
    /// FLUX only: its transformer also reads CLIP's pooled output.
    private let clip: CLIP?
    private let maxLength: Int
    private let model: ModelFolder

    /// Opens the tokenizers and text encoders of a model.
    ///
    /// - Throws: ``ModelsError``, also if a tokenizer does not match its encoder; `TensorsError`.
    public init(model: ModelFolder) throws {
        let suffix = model.family == .flux ? "_2" : ""
        self.model = model
        tokenizer = try T5Tokenizer(folder: model.folder("tokenizer\(suffix)"))
        encoder = try T5Encoder(folder: model.folder("text_encoder\(suffix)"))
        try tokenizer.validate(vocabularySize: encoder.vocabulary)
        maxLength = model.maxTextLength
        clip = try model.family == .flux ? Self.openCLIP(model) : nil
    }

    private static func openCLIP(_ model: ModelFolder) throws -> CLIP {
        let clip = CLIP(
            tokenizer: try CLIPTokenizer(folder: model.folder("tokenizer")),
            encoder: try CLIPTextEncoder(folder: model.folder("text_encoder")))
        try clip.tokenizer.validate(vocabularySize: clip.encoder.vocabulary)
        return clip
    }

    /// The embedding of a prompt.
    ///
    /// - Parameters:
    ///   - prompt: Lower-cased and stripped for PixArt, as in its pipelines; used unchanged for FLUX.
    ///   - maxLength: The maximum number of T5 tokens; nil for the model's default.
    /// - Returns: One row per token: without padding for PixArt, whose transformer masks it, with padding for FLUX.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an id outside an encoder's vocabulary, ``NonFiniteError`` for
    ///   an embedding that is not finite.
    public func embed(_ prompt: String, maxLength: Int? = nil) throws -> PromptEmbedding {
        let length = maxLength ?? self.maxLength
        guard let clip else {
            let text = tokenizer.encode(TextEncoding.cleaned(prompt), maxLength: length)
            let ids = Array(text.ids.prefix(text.tokenCount))
            return try checked(PromptEmbedding(text: try encoder.encode(ids: ids, attendedCount: ids.count)))
        }
        let ids = tokenizer.encode(prompt, maxLength: length).ids
        return try checked(
            PromptEmbedding(
                text: try encoder.encode(ids: ids, attendedCount: ids.count),
                pooled: try clip.encoder.encode(ids: clip.tokenizer.encode(prompt).ids).pooled))
    }

    /// Warnings about prompts that are longer than a text encoder reads; what is beyond its limit has no effect.
    ///
    /// - Parameters:
    ///   - prompts: The prompts, counted from 0 in the warnings.
    ///   - negativePrompt: The negative prompt.
    /// - Returns: At most a line for each text encoder: how many prompts, which ones, and the tokens that each loses.
    public func truncationWarnings(prompts: [String], negativePrompt: String = "") -> [String] {
        let isCleaned = clip == nil
        let t5 = Self.truncationWarning(prompts, negativePrompt, encoder: "T5", limit: maxLength) { prompt in
            tokenizer.ids(of: isCleaned ? TextEncoding.cleaned(prompt) : prompt).count + 1
        }
        let pooled = clip.flatMap { clip in
            Self.truncationWarning(prompts, negativePrompt, encoder: "CLIP", limit: clip.tokenizer.maxLength) {
                clip.tokenizer.tokenCount(of: $0)
            }
        }
        return [t5, pooled].compactMap(\.self)
    }

    private static func truncationWarning(
        _ prompts: [String], _ negativePrompt: String, encoder: String, limit: Int, tokenCount: (String) -> Int
    ) -> String? {
        let named = prompts.enumerated().map { ("prompt \($0)", $1) } + [("the negative prompt", negativePrompt)]
        let long = named.compactMap { name, text in
            let lost = tokenCount(text) - limit
            return lost > 0 ? "\(name) (\"\(text.prefix(30))...\") loses \(lost)" : nil
        }
        guard !long.isEmpty else { return nil }
        let rest = long.count > 5 ? ["and \(long.count - 5) more"] : []
        return
            "\(long.count) of \(named.count - (negativePrompt.isEmpty ? 1 : 0)) prompts exceed the \(limit) tokens that the "
            + "text encoder \(encoder) reads: \((long.prefix(5) + rest).joined(separator: ", "))"
    }

    private func checked(_ embedding: PromptEmbedding) throws -> PromptEmbedding {
        let t5 = model.family == .flux ? "text_encoder_2" : "text_encoder"
        try embedding.text.requireFinite("the text encoder T5", folder: model.folder(t5))
        try embedding.pooled?.requireFinite("the text encoder CLIP", folder: model.folder("text_encoder"))
        return embedding
    }

    /// The PixArt pipelines' prompt cleaning without the optional HTML step: Python's `lower().strip()`.
    public static func cleaned(_ prompt: String) -> String {
        prompt.pythonLowercased.pythonStripped
    }
}

/// The text encoders' output for a prompt.
public struct PromptEmbedding: Sendable {
    /// T5's output, `[S, d_model]`: without padding for PixArt, with padding for FLUX.
    public let text: Matrix
    /// CLIP's pooled output, `[1, D]`; FLUX only.
    public let pooled: Matrix?

    /// An embedding with the output of T5 and, for FLUX, of CLIP.
    public init(text: Matrix, pooled: Matrix? = nil) {
        self.text = text
        self.pooled = pooled
    }
}

// Python's `str` methods, where Swift's `String` differs from them.
extension String {
    /// `str.lower()`: unlike in Swift, a capital sigma at the end of a word becomes a final sigma.
    fileprivate var pythonLowercased: String {
        guard unicodeScalars.contains("Σ") else { return lowercased() }
        let scalars = Array(unicodeScalars)
        var result = ""
        for (index, scalar) in scalars.enumerated() {
            if scalar == "Σ" {
                result += Self.isFinalSigma(index, scalars) ? "ς" : "σ"
            } else {
                result += scalar.properties.lowercaseMapping
            }
        }
        return result
    }

    /// Unicode's Final_Sigma: a cased letter before and none after, skipping case-ignorable characters.
    private static func isFinalSigma(_ index: Int, _ scalars: [Unicode.Scalar]) -> Bool {
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
        let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
        return before?.properties.isCased == true && after?.properties.isCased != true
    }

    /// `str.strip()`: also strips the four ASCII separators, U+001C to U+001F.
    fileprivate var pythonStripped: String {
        func isSpace(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
        }
        let scalars = unicodeScalars
        guard let first = scalars.firstIndex(where: { !isSpace($0) }),
            let last = scalars.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(scalars[first...last])
    }
}
