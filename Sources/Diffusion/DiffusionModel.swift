import Basics
import ModelConfiguration
import Models
import Schedules
import Tensors

/// A text-to-image model without its text encoders: transformer, sampler configuration and autoencoder.
public final class DiffusionModel {
    private enum Transformer {
        case pixart(PixArtTransformer)
        case flux(FluxTransformer)
    }

    /// A prompt's inputs to the transformer.
    public enum Prompt: Sendable {
        /// A prompt of a PixArt model.
        case pixart(PixArtTransformer.Prompt)
        /// A prompt of a FLUX model.
        case flux(FluxTransformer.Prompt)
    }

    /// The precision of the products in the transformer and the decoder.
    public let precision: Precision

    private let transformer: Transformer
    private let path: String
    private let decoder: AutoencoderDecoder
    private let samplerConfiguration: Configuration

    /// Opens `transformer/`, `vae/` and `scheduler/` of a model.
    ///
    /// - Parameters:
    ///   - folder: The model.
    ///   - precision: The precision of the products in the transformer and the decoder; the processor must support it.
    /// - Throws: `ModelsError`, also if the parts do not match; `TensorsError`; `CPU.PrecisionError`.
    public init(_ folder: ModelFolder, precision: Precision = .float32) throws {
        try precision.requireSupported()
        path = folder.path
        self.precision = precision
        let transformerFolder = folder.folder("transformer")
        transformer =
            try folder.family == .flux
            ? .flux(FluxTransformer(folder: transformerFolder, precision: precision))
            : .pixart(PixArtTransformer(folder: transformerFolder, precision: precision))
        decoder = try AutoencoderDecoder(folder: folder.folder("vae"), precision: precision)
        samplerConfiguration = try Configuration(path: "\(folder.folder("scheduler"))/scheduler_config.json")
        let (inChannels, outChannels) =
            switch transformer {
            case .pixart(let transformer): (transformer.settings.inChannels, transformer.settings.outChannels)
            case .flux(let transformer): (transformer.settings.latentChannels, transformer.settings.latentChannels)
            }
        guard decoder.settings.latentChannels == inChannels, outChannels >= inChannels else {
            throw ModelsError.incompatibleParts(
                path: folder.path,
                reason: "the autoencoder has \(decoder.settings.latentChannels) latent channels, but the transformer "
                    + "reads \(inChannels) and predicts \(outChannels)")
        }
    }

    /// The native side length of square images in pixels.
    ///
    /// For FLUX it comes from the autoencoder, because the transformer's configuration has no size.
    public var nativeSize: Int {
        configuration.nativeSize(with: decoder.settings)
    }

    private var configuration: TransformerConfiguration {
        switch transformer {
        case .pixart(let transformer): .pixart(transformer.settings)
        case .flux(let transformer): .flux(transformer.settings)
        }
    }

    /// The training size (aspect ratio bin) with the nearest ratio of height to width.
    ///
    /// - Parameters:
    ///   - height: The requested height in pixels.
    ///   - width: The requested width in pixels.
    /// - Returns: The bin in pixels.
    /// - Throws: `ModelsError.invalidArgument` for a model without aspect ratio bins.
    public func aspectRatioBin(height: Int, width: Int) throws -> (height: Int, width: Int) {
        guard case .pixart(let transformer) = transformer,
            let bin = AspectRatioBins.nearest(
                height: height, width: width, sampleSize: transformer.settings.sampleSize)
        else {
            throw ModelsError.invalidArgument(
                "\(path): no aspect ratio bins; only PixArt models with a sample_size of 32, 64, 128 or 256 have them")
        }
        return bin
    }

    /// The shape of schedules for this model.
    ///
    /// - Throws: `SchedulesError.outOfRange` for an unsupported step count.
    public func scheduleShape(stepCount: Int) throws -> ScheduleShape {
        try configuration.shape(stepCount: stepCount)
    }

    /// Computes a prompt's inputs to the transformer, once for all images and schedules.
    ///
    /// - Throws: `ModelsError.incompatibleParts` for an embedding of another family or width.
    public func prompt(_ embedding: PromptEmbedding) throws -> Prompt {
        switch transformer {
        case .pixart(let transformer):
            try checkWidth(embedding.text, transformer.settings.captionChannels)
            return .pixart(transformer.prompt(embedding.text))
        case .flux(let transformer):
            guard let pooled = embedding.pooled else {
                throw ModelsError.incompatibleParts(
                    path: path, reason: "the prompt has no pooled embedding, which FLUX requires")
            }
            try checkWidth(embedding.text, transformer.settings.textWidth)
            try checkWidth(pooled, transformer.settings.pooledWidth)
            return .flux(transformer.prompt(text: embedding.text, pooled: pooled))
        }
    }

    private func checkWidth(_ embedding: Matrix, _ width: Int) throws {
        guard embedding.columns == width else {
            throw ModelsError.incompatibleParts(
                path: path,
                reason: "the text embedding has \(embedding.columns) channels; the transformer reads \(width)")
        }
    }

    /// A session that denoises a number of images together.
    ///
    /// - Throws: `ModelsError.invalidArgument` for a size that is not a multiple of the patch size, or a step count that
    ///   the sampler does not support.
    public func session(imageCount: Int, settings: GenerationSettings) throws -> any DenoisingSession {
        let scale = decoder.settings.scale
        let patchSize = configuration.patchSize
        for (name, length) in [("height", settings.height), ("width", settings.width)] {
            let maxLength = ModelArchitecture.latentLimit * scale
            guard (1...maxLength).contains(length), length % (scale * patchSize) == 0 else {
                throw ModelsError.invalidArgument(
                    "\(name) \(length); expected a multiple of \(scale * patchSize) up to \(maxLength) for \(path)")
            }
        }
        guard imageCount > 0 else { throw ModelsError.invalidArgument("\(imageCount) images; expected at least one") }
        let (latentHeight, latentWidth) = (settings.height / scale, settings.width / scale)
        switch transformer {
        case .pixart(let transformer):
            return try PixArtSession(
                transformer: transformer, transformerFolder: "\(path)/transformer",
                sampler: DPMSolverMultistep(samplerConfiguration, stepCount: settings.stepCount),
                imageCount: imageCount, latentHeight: latentHeight, latentWidth: latentWidth, settings: settings)
        case .flux(let transformer):
            let tokenCount = (latentHeight / patchSize) * (latentWidth / patchSize)
            return FluxSession(
                transformer: transformer, transformerFolder: "\(path)/transformer",
                sampler: try FlowMatchEuler(
                    samplerConfiguration, stepCount: settings.stepCount, imageTokenCount: tokenCount),
                imageCount: imageCount, latentHeight: latentHeight, latentWidth: latentWidth,
                guidanceScale: settings.guidanceScale)
        }
    }

    /// Decodes denoised latents to an image.
    ///
    /// - Parameters:
    ///   - latents: One row of the session's latents, `[1, C·h·w]`.
    ///   - settings: The settings of the session.
    /// - Returns: The planes red, green and blue, `[3, H·W]`; nominally in -1...1.
    /// - Throws: `NonFiniteError` if a value is infinite or NaN.
    public func decode(_ latents: Matrix, settings: GenerationSettings) throws -> FeatureMap {
        let c = decoder.settings.latentChannels
        let (h, w) = (settings.height / decoder.settings.scale, settings.width / decoder.settings.scale)
        let unscaled = FeatureMap(channelCount: c, height: h, width: w)
        let flat = unscaled.channels.reshaped(rows: 1, columns: c * h * w)
        for index in 0..<(c * h * w) {
            flat.pointer[index] = latents.pointer[index] / decoder.settings.scalingFactor + decoder.settings.shiftFactor
        }
        let planes = decoder.decode(unscaled)
        try planes.channels.requireFinite("VAE decoding", folder: "\(path)/vae")
        return planes
    }
}

extension DiffusionModel.Prompt {
    /// The prompt of a PixArt model; traps for other families.
    var pixart: PixArtTransformer.Prompt {
        guard case .pixart(let prompt) = self else { preconditionFailure("a prompt of another model family") }
        return prompt
    }

    /// The prompt of a FLUX model; traps for other families.
    var flux: FluxTransformer.Prompt {
        guard case .flux(let prompt) = self else { preconditionFailure("a prompt of another model family") }
        return prompt
    }
}

/// The image sizes that PixArt was trained at, one per aspect ratio (`ASPECT_RATIO_*_BIN` of diffusers).
enum AspectRatioBins {
    /// Heights and widths of the 1024-pixel models; the 512- and 256-pixel models use a half and a quarter of them.
    private static let bins1024 = [
        (512, 2048), (512, 1856), (576, 1792), (576, 1728), (576, 1664), (640, 1600), (640, 1536), (704, 1472),
        (704, 1408),
        (704, 1344), (768, 1344), (768, 1280), (832, 1216), (832, 1152), (896, 1152), (896, 1088), (960, 1088),
        (960, 1024),
        (1024, 1024), (1024, 960), (1088, 960), (1088, 896), (1152, 896), (1152, 832), (1216, 832), (1280, 768),
        (1344, 768),
        (1408, 704), (1472, 704), (1536, 640), (1600, 640), (1728, 576), (2048, 512),
    ]

    /// Heights and widths of PixArt-Sigma at 2048 pixels.
    private static let bins2048 = [
        (1024, 4096), (1024, 3968), (1024, 3840), (1024, 3712), (1152, 3584), (1152, 3456), (1152, 3328), (1280, 3200),
        (1280, 3072), (1408, 2944), (1408, 2816), (1408, 2688), (1536, 2688), (1536, 2560), (1664, 2432), (1664, 2304),
        (1792, 2304), (1792, 2176), (1920, 2176), (1920, 2048), (2048, 2048), (2048, 1920), (2176, 1920), (2176, 1792),
        (2304, 1792), (2304, 1664), (2432, 1664), (2560, 1536), (2688, 1536), (2816, 1408), (2944, 1408), (3072, 1280),
        (3200, 1280), (3328, 1152), (3456, 1152), (3584, 1152), (3712, 1024), (3840, 1024), (3968, 1024), (4096, 1024),
    ]

    /// The bin with the nearest aspect ratio (`classify_height_width_bin` of diffusers).
    ///
    /// - Parameters:
    ///   - height: The requested height in pixels.
    ///   - width: The requested width in pixels.
    ///   - sampleSize: The native side of the latents.
    /// - Returns: The bin in pixels; nil if no published model has this native size.
    static func nearest(height: Int, width: Int, sampleSize: Int) -> (height: Int, width: Int)? {
        let (bins, divisor): ([(Int, Int)], Int)
        switch sampleSize {
        case 32: (bins, divisor) = (bins1024, 4)
        case 64: (bins, divisor) = (bins1024, 2)
        case 128: (bins, divisor) = (bins1024, 1)
        case 256: (bins, divisor) = (bins2048, 1)
        default: return nil
        }
        let ratio = Double(height) / Double(width)
        // The original rounds the bins' ratios to two decimals; the first of equally near bins wins.
        func distance(_ bin: (Int, Int)) -> Double {
            abs((Double(bin.0) / Double(bin.1) * 100).rounded(.toNearestOrEven) / 100 - ratio)
        }
        let nearest = bins.min { distance($0) < distance($1) }
        return nearest.map { ($0.0 / divisor, $0.1 / divisor) }
    }
}
