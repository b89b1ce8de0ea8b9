import Basics
import Foundation

/// Which files of a model directory are loaded: those that the networks, tokenizers and samplers read, and no others.
package enum ModelFiles {
    /// The parts of a text-to-image model.
    package enum Part: Sendable {
        /// All files.
        case whole
        /// All files but text encoders and tokenizers: those that a worker needs if it is given prompt embeddings.
        case image
        /// Only text encoders and tokenizers.
        case text
    }

    /// The files that are loaded from a model directory, or from that of a scorer.
    ///
    /// - Parameters:
    ///   - folder: A directory with `model_index.json` in the diffusers layout, or with the `config.json` of a scorer.
    ///   - part: The part of a text-to-image model; `.whole` leaves out text encoders that the directory does not have.
    /// - Returns: Paths relative to the directory, in a fixed order.
    /// - Throws: `FileError`, `JSONError` if the directory or weights are incomplete.
    package static func loaded(from folder: String, part: Part) throws -> [String] {
        guard FileContents.exists("\(folder)/model_index.json") || !FileContents.exists("\(folder)/config.json") else {
            return try scorer(folder)
        }
        let model = try ModelFolder(path: folder)
        var files: [String] = []
        if part != .text {
            files += ["model_index.json", "scheduler/scheduler_config.json"]
            files += try network("transformer", in: folder, .diffusers) + network("vae", in: folder, .diffusers)
        }
        if part == .text || (part == .whole && hasText(folder: folder)) { files += try text(model) }
        return files
    }

    /// Whether a directory contains text encoders.
    package static func hasText(folder: String) -> Bool { FileContents.exists("\(folder)/text_encoder/config.json") }

    private static func text(_ model: ModelFolder) throws -> [String] {
        let t5 = model.family == .flux ? "_2" : ""
        var files = try network("text_encoder\(t5)", in: model.path, .transformers)
        files += tokenizer("tokenizer\(t5)", in: model.path, [["tokenizer.json"], ["spiece.model"]])
        files += optional(["tokenizer\(t5)/tokenizer_config.json"], in: model.path)
        guard model.family == .flux else { return files }
        return try files + network("text_encoder", in: model.path, .transformers)
            + clipTokenizer("tokenizer/", model.path)
    }

    private static func scorer(_ folder: String) throws -> [String] {
        let configuration = try Configuration(path: "\(folder)/config.json")
        let files = try network("", in: folder, .transformers)
        switch try configuration.require("model_type", oneOf: ScorerKind.modelled.map(\.rawValue)) {
        case ScorerKind.clip.rawValue:
            return files + clipTokenizer("", folder) + optional(["preprocessor_config.json"], in: folder)
        default: return files + ["vocab.txt"]
        }
    }

    private static func network(_ name: String, in folder: String, _ library: WeightFiles.Library) throws -> [String] {
        let prefix = name.isEmpty ? "" : "\(name)/"
        let weights = try WeightFiles(folder: name.isEmpty ? folder : "\(folder)/\(name)", library: library)
        return (["config.json"] + [weights.index].compactMap { $0 } + weights.names).map { prefix + $0 }
    }

    private static func clipTokenizer(_ prefix: String, _ folder: String) -> [String] {
        tokenizer(String(prefix.dropLast()), in: folder, [["vocab.json", "merges.txt"], ["tokenizer.json"]])
            + optional(["tokenizer_config.json", "special_tokens_map.json"].map { prefix + $0 }, in: folder)
    }

    /// The first of several sets of vocabulary files whose first file exists.
    private static func tokenizer(_ name: String, in folder: String, _ choices: [[String]]) -> [String] {
        let prefix = name.isEmpty ? "" : "\(name)/"
        let choice = choices.first { FileContents.exists("\(folder)/\(prefix)\($0[0])") } ?? choices[0]
        return choice.map { prefix + $0 }
    }

    private static func optional(_ files: [String], in folder: String) -> [String] {
        files.filter { FileContents.exists("\(folder)/\($0)") }
    }
}

/// A family of text-to-image models.
public enum ModelFamily: String, CaseIterable, Codable, Sendable {
    /// PixArt-alpha: up to 120 text tokens.
    case pixartAlpha = "pixart-alpha"
    /// PixArt-Sigma: up to 300 text tokens.
    case pixartSigma = "pixart-sigma"
    /// FLUX.1: up to 512 text tokens; the raw value names the variant with distilled guidance.
    case flux = "flux-dev"
}

/// A text-to-image model in the diffusers directory layout.
public struct ModelFolder: Sendable {
    private static let pipelines: [String: ModelFamily] = [
        "PixArtAlphaPipeline": .pixartAlpha, "PixArtSigmaPipeline": .pixartSigma, "FluxPipeline": .flux,
    ]

    /// The directory with `model_index.json`.
    public let path: String
    /// The family of the pipeline's class.
    public let family: ModelFamily
    /// Tokens that T5's prompts are padded to: the pipeline's default, for FLUX at most the limit of its T5 tokenizer.
    ///
    /// FLUX attends to padding, so a model trained with fewer tokens must be given fewer.
    public let maxTextLength: Int

    /// Reads `model_index.json` and FLUX's `tokenizer_2/tokenizer_config.json`.
    ///
    /// - Throws: `FileError`, `JSONError`; among others for the pipeline of another family.
    public init(path: String) throws {
        self.path = path
        let index = try Configuration(
            path: "\(path)/model_index.json", expected: "a model directory in the diffusers layout\(Self.hint(path))")
        let pipeline = try index.require(
            "_class_name", oneOf: Self.pipelines.keys.sorted(), default: "PixArtAlphaPipeline")
        family = Self.pipelines[pipeline] ?? .pixartAlpha
        maxTextLength =
            switch family {
            case .pixartAlpha: 120
            case .pixartSigma: 300
            case .flux: try Self.fluxTextLength(path)
            }
    }

    /// What a directory may be that is no model: one of the hub's cache, or a name on the hub.
    private static func hint(_ path: String) -> String {
        let snapshots = (try? FileManager.default.contentsOfDirectory(atPath: "\(path)/snapshots").sorted()) ?? []
        if let snapshot = snapshots.last { return ", such as \(path)/snapshots/\(snapshot)" }
        let isName = path.split(separator: "/", omittingEmptySubsequences: false).count == 2 && !path.hasPrefix(".")
        guard isName, !path.hasPrefix("/"), !FileContents.exists(path) else { return "" }
        return "; a model of the hub has to be downloaded first, with: hf download \(path) --local-dir DIR"
    }

    private static func fluxTextLength(_ path: String) throws -> Int {
        let (longest, file) = (512.0, "\(path)/tokenizer_2/tokenizer_config.json")
        guard FileContents.exists(file) else { return Int(longest) }
        // transformers writes 1e30 for an unknown length.
        return Int(min(longest, max(1, try Configuration(path: file).double("model_max_length", default: longest))))
    }

    /// The path of a subdirectory such as `transformer` or `vae`.
    public func folder(_ name: String) -> String { "\(path)/\(name)" }

    /// Reads the configuration of a subdirectory.
    ///
    /// - Throws: `FileError`, `JSONError`.
    public func configuration(_ name: String) throws -> Configuration {
        try Configuration(path: "\(folder(name))/config.json")
    }
}
