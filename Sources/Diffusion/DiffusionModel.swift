import ModelConfiguration
import Models
import Schedules
import Tensors

/// The part of a text-to-image model that denoises and decodes: transformer, sampler configuration and autoencoder.
public final class DiffusionModel {
    private enum Transformer {
        case pixart(PixArtTransformer)
        case flux(FluxTransformer)
    }

    /// What the transformer needs of a prompt.
    public enum Prompt: Sendable {
        /// A prompt of a PixArt model.
        case pixart(PixArtTransformer.Prompt)
        /// A prompt of a FLUX model.
        case flux(FluxTransformer.Prompt)
    }

    private let transformer: Transformer
    private let path: String
    private let decoder: AutoencoderDecoder
    private let samplerConfiguration: Configuration

    /// Opens `transformer/`, `vae/` and `scheduler/` of a model.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(_ folder: ModelFolder) throws {
        path = folder.path
        let transformerFolder = folder.folder("transformer")
        transformer =
            try folder.family == .flux
            ? .flux(FluxTransformer(folder: transformerFolder)) : .pixart(PixArtTransformer(folder: transformerFolder))
        decoder = try AutoencoderDecoder(folder: folder.folder("vae"))
        samplerConfiguration = try Configuration(path: "\(folder.folder("scheduler"))/scheduler_config.json")
        let (inChannels, outChannels) =
            switch transformer {
            case .pixart(let transformer): (transformer.settings.inChannels, transformer.settings.outChannels)
            case .flux(let transformer): (transformer.settings.latentChannels, transformer.settings.latentChannels)
            }
        guard decoder.settings.latentChannels == inChannels, outChannels >= inChannels else {
            throw ModelsError.invalidArgument(
                "\(folder.path): the autoencoder has \(decoder.settings.latentChannels) latent channels, the transformer "
                    + "reads \(inChannels) and gives \(outChannels)")
        }
    }

    /// The side of the square image that the model was made for, in pixels.
    ///
    /// FLUX's transformer names no size; its autoencoder does.
    public var nativeSize: Int {
        configuration.nativeSize(with: decoder.settings)
    }

    private var configuration: TransformerConfiguration {
        switch transformer {
        case .pixart(let transformer): .pixart(transformer.settings)
        case .flux(let transformer): .flux(transformer.settings)
        }
    }

    /// The size that the model was trained at whose ratio of height to width is the nearest.
    ///
    /// - Parameters:
    ///   - height: The height wanted, in pixels.
    ///   - width: The width wanted, in pixels.
    /// - Returns: The size.
    /// - Throws: `ModelsError.invalidArgument` for a model without such sizes.
    public func aspectRatioBin(height: Int, width: Int) throws -> (height: Int, width: Int) {
        guard case .pixart(let transformer) = transformer,
            let bin = AspectRatioBins.nearest(
                height: height, width: width, sampleSize: transformer.settings.sampleSize)
        else {
            throw ModelsError.invalidArgument(
                "\(path): has no aspect ratio bins; only PixArt of a sample_size of 32, 64, 128 or 256 has")
        }
        return bin
    }

    /// The steps, blocks and components that a schedule for this model has.
    ///
    /// - Throws: `SchedulesError.outOfRange` for a step count that no schedule has.
    public func scheduleShape(stepCount: Int) throws -> ScheduleShape {
        try configuration.shape(stepCount: stepCount)
    }

    /// What the transformer needs of a prompt, computed once for all images and schedules.
    ///
    /// - Parameter embedding: What the text encoders give.
    /// - Returns: The prompt, to be used as often as needed.
    /// - Throws: `ModelsError.invalidArgument` for an embedding of another width.
    public func prompt(_ embedding: PromptEmbedding) throws -> Prompt {
        switch transformer {
        case .pixart(let transformer):
            try checkWidth(embedding.text, transformer.settings.captionChannels)
            return .pixart(transformer.prompt(embedding.text))
        case .flux(let transformer):
            guard let pooled = embedding.pooled else {
                throw ModelsError.invalidArgument("\(path): the prompt has no pooled embedding, which FLUX reads")
            }
            try checkWidth(embedding.text, transformer.settings.textWidth)
            try checkWidth(pooled, transformer.settings.pooledWidth)
            return .flux(transformer.prompt(text: embedding.text, pooled: pooled))
        }
    }

    private func checkWidth(_ embedding: Matrix, _ width: Int) throws {
        guard embedding.columns == width else {
            throw ModelsError.invalidArgument(
                "\(path): the text encoder gives \(embedding.columns) channels, the transformer reads \(width)")
        }
    }

    /// A session for a number of images that are denoised together.
    ///
    /// - Throws: `ModelsError.invalidArgument` for a size that does not divide, or steps that do not fit the sampler.
    public func session(imageCount: Int, settings: GenerationSettings) throws -> any DenoisingSession {
        let scale = decoder.settings.scale
        let patchSize = configuration.patchSize
        for (name, length) in [("height", settings.height), ("width", settings.width)] {
            let longest = ModelArchitecture.latentLimit * scale
            guard (1...longest).contains(length), length % (scale * patchSize) == 0 else {
                throw ModelsError.invalidArgument(
                    "\(name) \(length): expected a multiple of \(scale * patchSize) up to \(longest) for \(path)")
            }
        }
        guard imageCount > 0 else { throw ModelsError.invalidArgument("\(imageCount) images: expected at least one") }
        let (latentHeight, latentWidth) = (settings.height / scale, settings.width / scale)
        switch transformer {
        case .pixart(let transformer):
            return try PixArtSession(
                transformer: transformer,
                sampler: DPMSolverMultistep(samplerConfiguration, stepCount: settings.stepCount),
                imageCount: imageCount, latentHeight: latentHeight, latentWidth: latentWidth, settings: settings)
        case .flux(let transformer):
            let tokenCount = (latentHeight / patchSize) * (latentWidth / patchSize)
            return FluxSession(
                transformer: transformer,
                sampler: try FlowMatchEuler(
                    samplerConfiguration, stepCount: settings.stepCount, imageTokenCount: tokenCount),
                imageCount: imageCount, latentHeight: latentHeight, latentWidth: latentWidth,
                guidanceScale: settings.guidanceScale)
        }
    }

    /// Decodes denoised latents to an image.
    ///
    /// - Parameters:
    ///   - latents: One row of the session's latents, [1, C * h * w].
    ///   - settings: The settings they were made with.
    /// - Returns: The planes red, green, blue in about -1...1, [3, H * W].
    public func decode(_ latents: Matrix, settings: GenerationSettings) -> FeatureMap {
        let c = decoder.settings.latentChannels
        let (h, w) = (settings.height / decoder.settings.scale, settings.width / decoder.settings.scale)
        let unscaled = FeatureMap(channelCount: c, height: h, width: w)
        let flat = unscaled.channels.reshaped(rows: 1, columns: c * h * w)
        for index in 0..<(c * h * w) {
            flat.pointer[index] = latents.pointer[index] / decoder.settings.scalingFactor + decoder.settings.shiftFactor
        }
        return decoder.decode(unscaled)
    }
}

extension DiffusionModel.Prompt {
    /// The prompt of a PixArt model; a session of one is given no other.
    var pixart: PixArtTransformer.Prompt {
        guard case .pixart(let prompt) = self else { preconditionFailure("a prompt of another model") }
        return prompt
    }

    /// The prompt of a FLUX model; a session of one is given no other.
    var flux: FluxTransformer.Prompt {
        guard case .flux(let prompt) = self else { preconditionFailure("a prompt of another model") }
        return prompt
    }
}
