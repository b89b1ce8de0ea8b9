import Basics
import JSON
import ModelConfiguration

/// What a schedule's measured cost and quality hold for: model architecture, sampler, steps and image size.
///
/// Weights are not part of it: a fine-tuned model may use the schedules of the model it comes from.
public struct MeasurementSettings: Hashable, Sendable {
    /// The model at an image size.
    public let model: ModelDescription
    /// The sampler's configuration, without the version of diffusers that wrote it.
    public let sampler: JSONObject
    /// Number of denoising steps.
    public let stepCount: Int

    /// Makes settings from their parts.
    public init(model: ModelDescription, sampler: JSONObject, stepCount: Int) {
        self.model = model
        self.sampler = sampler
        self.stepCount = stepCount
    }

    /// Reads the settings of a model directory, with `scheduler/scheduler_config.json` for the sampler.
    ///
    /// - Parameters:
    ///   - folder: A model directory in the diffusers layout.
    ///   - height: Height of the images in pixels; nil for the model's native size.
    ///   - width: Width of the images in pixels; nil for the model's native size.
    ///   - stepCount: Number of denoising steps.
    /// - Throws: As ``ModelDescription/init(modelFolder:height:width:)``.
    public init(
        modelFolder folder: String, height: Int? = nil, width: Int? = nil, stepCount: Int
    ) throws {
        var sampler = try Configuration(path: "\(folder)/scheduler/scheduler_config.json").object
        sampler["_diffusers_version"] = nil
        try self.init(
            model: ModelDescription(modelFolder: folder, height: height, width: width), sampler: sampler,
            stepCount: stepCount)
    }

    /// SHA-256 of ``canonicalText``, as 64 lower-case hexadecimal digits.
    public var hash: String { SHA256.digest(canonicalText.utf8).hexadecimal }

    /// The settings as JSON without white space, all keys in ascending order and numbers in one spelling.
    public var canonicalText: String {
        let object: JSONObject = [
            "architecture": .object(model.architecture.dimensions), "height": JSONValue(model.height),
            "sampler": .object(sampler), "steps": JSONValue(stepCount), "width": JSONValue(model.width),
        ]
        return JSONValue.object(object).canonical.compactText
    }
}

extension ModelArchitecture {
    /// The dimensions that multiply-adds depend on, under their names in diffusers' configurations.
    fileprivate var dimensions: JSONObject {
        switch transformer {
        case .pixart(let model):
            [
                "class": "PixArt", "num_layers": JSONValue(model.blockCount),
                "num_attention_heads": JSONValue(model.headCount), "attention_head_dim": JSONValue(model.headDimension),
                "in_channels": JSONValue(model.inChannels), "out_channels": JSONValue(model.outChannels),
                "patch_size": JSONValue(model.patchSize), "cross_attention_dim": JSONValue(model.width),
                "caption_channels": JSONValue(model.captionChannels),
                "use_additional_conditions": .bool(model.usesAdditionalConditions),
                "text_tokens": JSONValue(textLength),
            ]
        case .flux(let model):
            [
                "class": "FLUX", "num_layers": JSONValue(model.fullBlockCount),
                "num_single_layers": JSONValue(model.singleBlockCount),
                "num_attention_heads": JSONValue(model.headCount), "attention_head_dim": JSONValue(model.headDimension),
                "in_channels": JSONValue(model.patchChannels), "out_channels": JSONValue(model.patchChannels),
                "joint_attention_dim": JSONValue(model.textWidth),
                "pooled_projection_dim": JSONValue(model.pooledWidth),
                "guidance_embeds": .bool(model.embedsGuidance), "text_tokens": JSONValue(textLength),
            ]
        }
    }
}

extension JSONValue {
    /// The document with keys in ascending order and numbers in one spelling.
    fileprivate var canonical: JSONValue {
        switch self {
        case .null, .bool, .string: self
        case .number: int.map { JSONValue($0) } ?? double.map { .number("\($0)") } ?? self
        case .array(let elements): .array(elements.map(\.canonical))
        case .object(let object):
            .object(
                JSONObject(
                    distinct: object.members.map { JSONObject.Member(key: $0.key, value: $0.value.canonical) }
                        .sorted { $0.key < $1.key }))
        }
    }
}
