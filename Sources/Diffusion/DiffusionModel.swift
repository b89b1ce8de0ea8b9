import Models
import Schedules
import Tensors

/// The part of a text-to-image model that denoises and decodes: transformer, sampler configuration and autoencoder.
public final class DiffusionModel {
    /// The longest side of the latents, as for ``Schedules/ModelArchitecture``.
    private static let mostLatentPixels = 1024

    let transformer: PixArtTransformer
    private let path: String
    private let decoder: AutoencoderDecoder
    private let samplerConfiguration: Configuration

    /// Opens `transformer/`, `vae/` and `scheduler/` of a model.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(_ folder: ModelFolder) throws {
        path = folder.path
        transformer = try PixArtTransformer(folder: folder.folder("transformer"))
        decoder = try AutoencoderDecoder(folder: folder.folder("vae"))
        samplerConfiguration = try Configuration(path: "\(folder.folder("scheduler"))/scheduler_config.json")
        guard decoder.settings.latentChannels == transformer.settings.inChannels,
            transformer.settings.outChannels >= transformer.settings.inChannels
        else {
            throw ModelsError.invalidArgument(
                "\(folder.path): the autoencoder has \(decoder.settings.latentChannels) latent channels, the transformer reads "
                    + "\(transformer.settings.inChannels) and gives \(transformer.settings.outChannels)")
        }
    }

    /// The side of the square image that the transformer was made for, in pixels.
    public var nativeSize: Int { transformer.settings.sampleSize * decoder.settings.scale }

    /// The steps, blocks and components that a schedule for this model has.
    ///
    /// - Throws: `ModelsError.invalidArgument` for a step count that no schedule has.
    public func scheduleShape(stepCount: Int) throws -> ScheduleShape {
        guard (1...ScheduleShape.stepLimit).contains(stepCount) else {
            throw ModelsError.invalidArgument("\(stepCount) steps: expected 1 to \(ScheduleShape.stepLimit)")
        }
        return .pixart(blocks: transformer.settings.blockCount, steps: stepCount)
    }

    /// What the transformer needs of a prompt, computed once for all images and schedules.
    ///
    /// - Parameter embedding: The text encoder's output, [S, caption channels].
    /// - Returns: The prompt, to be used as often as needed.
    /// - Throws: `ModelsError.invalidArgument` for an embedding of another width.
    public func prompt(_ embedding: Matrix) throws -> PixArtTransformer.Prompt {
        guard embedding.columns == transformer.settings.captionChannels else {
            throw ModelsError.invalidArgument(
                "\(path): the text encoder gives \(embedding.columns) channels, the transformer reads "
                    + "\(transformer.settings.captionChannels)")
        }
        return transformer.prompt(embedding)
    }

    /// A session for a number of images that are denoised together.
    ///
    /// - Throws: `ModelsError.invalidArgument` for a size that does not divide, or steps that do not fit the sampler.
    public func session(imageCount: Int, settings: GenerationSettings) throws -> DenoisingSession {
        let unit = decoder.settings.scale * transformer.settings.patchSize
        for (name, length) in [("height", settings.height), ("width", settings.width)] {
            let longest = Self.mostLatentPixels * decoder.settings.scale
            guard (1...longest).contains(length), length % unit == 0 else {
                throw ModelsError.invalidArgument(
                    "\(name) \(length): expected a multiple of \(unit) up to \(longest) for \(path)")
            }
        }
        guard imageCount > 0 else { throw ModelsError.invalidArgument("\(imageCount) images: expected at least one") }
        return try DenoisingSession(
            transformer: transformer, sampler: DPMSolverMultistep(samplerConfiguration, stepCount: settings.stepCount),
            imageCount: imageCount, latentHeight: settings.height / decoder.settings.scale,
            latentWidth: settings.width / decoder.settings.scale, settings: settings)
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
