import ModelConfiguration
import Models
import Tensors

extension Verification {
    /// Token IDs and hidden states of prompts, and CLIP's pooled output, as in the model's pipeline.
    static func compareTextEncoder(
        _ file: ReferenceFile, model: String, tolerance: Double
    ) throws -> [TensorComparison] {
        let family = try ModelFolder(path: model).family
        let folder = try file.text("folder")
        guard ["text_encoder", family == .flux ? "text_encoder_2" : nil].contains(folder) else {
            throw file.invalid("folder", family == .flux ? "text_encoder or text_encoder_2" : "text_encoder")
        }
        let prompts = try file.value("prompts", as: [String].self, expected: "an array of strings")
        let length = try file.textLength()
        if family == .flux && folder == "text_encoder" {
            return try compareCLIP(file, model: model, prompts, length, tolerance)
        }
        let suffix = family == .flux ? "_2" : ""
        let tokenizer = try T5Tokenizer(folder: "\(model)/tokenizer\(suffix)")
        let encoder = try T5Encoder(folder: "\(model)/\(folder)")
        let texts = prompts.map {
            tokenizer.encode(family == .flux ? $0 : TextEncoding.cleaned($0), maxLength: length)
        }
        // The FLUX pipeline passes no attention mask to its encoders: tokens attend to the padding.
        let states = try texts.flatMap {
            let states = try encoder.encode(ids: $0.ids, attendedCount: family == .flux ? length : $0.tokenCount)
            try states.requireFinite("the text encoder T5", folder: "\(model)/\(folder)")
            return states.values
        }
        return try compareTokens(texts, file, length) + [
            TensorComparison(
                name: "hidden_states", engine: states,
                reference: try file.tensor("hidden_states", shape: [prompts.count, length, encoder.width]).floats(),
                tolerance: tolerance)
        ]
    }

    private static func compareCLIP(
        _ file: ReferenceFile, model: String, _ prompts: [String], _ length: Int, _ tolerance: Double
    ) throws -> [TensorComparison] {
        let tokenizer = try CLIPTokenizer(folder: "\(model)/tokenizer")
        let encoder = try CLIPTextEncoder(folder: "\(model)/text_encoder")
        guard (2...max(2, encoder.positionCount)).contains(length) else {
            throw file.invalid(
                "max_length", "an integer from 2 to \(encoder.positionCount), the number of CLIP's position embeddings")
        }
        let texts = prompts.map { tokenizer.encode($0, maxLength: length) }
        let expectedStates = try file.tensor("hidden_states", shape: [prompts.count, length, encoder.width])
        let expectedPooled = try file.tensor("pooled", shape: [prompts.count, encoder.width])
        let outputs = try texts.map { try encoder.encode(ids: $0.ids) }
        for output in outputs {
            try output.hiddenStates.requireFinite("the text encoder CLIP", folder: "\(model)/text_encoder")
        }
        return try compareTokens(texts, file, length) + [
            TensorComparison(
                name: "hidden_states", engine: outputs.flatMap(\.hiddenStates.values),
                reference: try expectedStates.floats(), tolerance: tolerance),
            TensorComparison(
                name: "pooled", engine: outputs.flatMap(\.pooled.values), reference: try expectedPooled.floats(),
                tolerance: tolerance),
        ]
    }

    private static func compareTokens(
        _ texts: [TokenizedText], _ file: ReferenceFile, _ length: Int
    ) throws -> [TensorComparison] {
        let expectedIDs = try file.tensor("input_ids", shape: [texts.count, length])
        let expectedMask = try file.tensor("attention_mask", shape: [texts.count, length])
        let mask = texts.flatMap { text in (0..<length).map { $0 < text.tokenCount ? Int64(1) : 0 } }
        return [
            TensorComparison(name: "input_ids", engine: texts.flatMap(\.ids), reference: try expectedIDs.integers()),
            TensorComparison(name: "attention_mask", engine: mask, reference: try expectedMask.integers()),
        ]
    }
}
