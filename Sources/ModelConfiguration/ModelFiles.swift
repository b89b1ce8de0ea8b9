import Basics

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
