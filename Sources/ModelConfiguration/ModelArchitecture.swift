import JSON

/// `transformer/config.json` of any supported class.
public enum TransformerConfiguration: Hashable, Sendable {
    /// PixArt-alpha or PixArt-Sigma.
    case pixart(PixArtConfiguration)
    /// FLUX.1.
    case flux(FluxConfiguration)

    /// The largest number of blocks, far beyond any published transformer.
    public static let blockLimit = 1000
    // With these limits the products of a step's multiply-adds stay below 2^58.
    static let headRange = 1...512
    static let channelRange = 1...1024
    static let widthRange = 1...16_384

    /// Reads a configuration, choosing the transformer by `_class_name`.
    ///
    /// - Throws: `JSONError`.
    public init(_ configuration: Configuration) throws {
        let classes = ["PixArtTransformer2DModel", "Transformer2DModel", "FluxTransformer2DModel"]
        switch try configuration.require("_class_name", oneOf: classes) {
        case "FluxTransformer2DModel": self = .flux(try FluxConfiguration(configuration))
        default: self = .pixart(try PixArtConfiguration(configuration))
        }
    }

    /// Latent pixels along each side of a patch.
    public var patchSize: Int {
        switch self {
        case .pixart(let model): model.patchSize
        case .flux: FluxConfiguration.patchSize
        }
    }

    /// Pixels along each side of a native image.
    ///
    /// FLUX's transformer has no `sample_size`; its autoencoder's counts.
    public func nativeSize(with autoencoder: AutoencoderConfiguration) -> Int {
        switch self {
        case .pixart(let model): model.sampleSize * autoencoder.scale
        case .flux: autoencoder.sampleSize
        }
    }
}

/// A transformer at an image size and text length: what the shape and the cost of schedules follow from.
public struct ModelArchitecture: Hashable, Sendable {
    /// The largest side of the latents.
    public static let latentLimit = 1024

    /// The transformer.
    public let transformer: TransformerConfiguration
    /// Rows of the latents, before FLUX's packing.
    public let latentHeight: Int
    /// Columns of the latents, before FLUX's packing.
    public let latentWidth: Int
    /// Text tokens that the transformer sees.
    public let textLength: Int

    /// Combines a transformer with an image size and text length.
    ///
    /// - Throws: ``ModelConfigurationError`` for a size or length out of range, and for steps of more than 2^52
    ///   multiply-adds.
    public init(
        transformer: TransformerConfiguration, latentHeight: Int, latentWidth: Int, textLength: Int
    ) throws(ModelConfigurationError) {
        func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws(ModelConfigurationError) {
            guard range.contains(value) else {
                throw ModelConfigurationError(
                    name: name, found: "\(value)", expected: "\(range.lowerBound) to \(range.upperBound)")
            }
        }
        try check("latent height", latentHeight, 1...Self.latentLimit)
        try check("latent width", latentWidth, 1...Self.latentLimit)
        try check("text length", textLength, 1...65_536)
        self.transformer = transformer
        self.latentHeight = latentHeight
        self.latentWidth = latentWidth
        self.textLength = textLength
        // With at most 1,000 steps, totals stay below 2^63.
        let (estimate, limit) = (fullStepEstimate, Double(1 << 52))
        guard estimate <= limit else {
            throw ModelConfigurationError(
                name: "number of multiply-adds of one step", found: "\(estimate)", expected: "at most \(limit)")
        }
    }

    /// The published checkpoint of a family at a square image size.
    ///
    /// As in the published counts of multiply-adds, PixArt has 120 text tokens for Sigma too, and only PixArt-alpha at
    /// 1024 pixels has additional conditions. FLUX has 512 text tokens.
    ///
    /// - Parameters:
    ///   - family: The family.
    ///   - size: Pixels along each side of the image, a multiple of 16.
    /// - Throws: ``ModelConfigurationError`` for other sizes.
    public init(family: ModelFamily, size: Int = 256) throws {
        guard (16...8192).contains(size), size % 16 == 0 else {
            throw ModelConfigurationError(
                name: "size", found: "\(size)", expected: "a multiple of 16 from 16 to 8192")
        }
        let object: JSONObject =
            switch family {
            case .pixartAlpha, .pixartSigma:
                [
                    "_class_name": "PixArtTransformer2DModel", "sample_size": JSONValue(size / 8),
                    "caption_channels": 4096,
                    "use_additional_conditions": .bool(family == .pixartAlpha && size == 1024),
                ]
            case .flux: ["_class_name": "FluxTransformer2DModel", "guidance_embeds": true]
            }
        try self.init(
            transformer: TransformerConfiguration(Configuration(object, name: family.rawValue)),
            latentHeight: size / 8, latentWidth: size / 8, textLength: family == .flux ? 512 : 120)
    }

    /// Number of image tokens.
    public var imageTokens: Int {
        (latentHeight / transformer.patchSize) * (latentWidth / transformer.patchSize)
    }
}

/// A model directory at an image size, from its configuration files alone.
public struct ModelDescription: Hashable, Sendable {
    /// The transformer at the image size.
    public let architecture: ModelArchitecture
    /// Height of the images in pixels.
    public let height: Int
    /// Width of the images in pixels.
    public let width: Int

    /// Reads `model_index.json` and the configurations of transformer and autoencoder.
    ///
    /// - Parameters:
    ///   - folder: A model directory in the diffusers layout.
    ///   - height: Height of the images in pixels; nil for the native size.
    ///   - width: Width of the images in pixels; nil for the native size.
    /// - Throws: `FileError`, `JSONError`; ``ModelConfigurationError`` with the name `height` or `width` for sizes that
    ///   the model cannot generate.
    public init(modelFolder folder: String, height: Int? = nil, width: Int? = nil) throws {
        let folder = try ModelFolder(path: folder)
        let autoencoder = try AutoencoderConfiguration(folder.configuration("vae"))
        let transformer = try Self.transformer(of: folder)
        let native = transformer.nativeSize(with: autoencoder)
        self.height = height ?? native
        self.width = width ?? native
        let multiple = autoencoder.scale * transformer.patchSize
        for (name, length) in [("height", self.height), ("width", self.width)]
        where length < 1 || length % multiple != 0 {
            throw ModelConfigurationError(
                name: name, found: "\(length)", expected: "a multiple of \(multiple) for this model")
        }
        architecture = try ModelArchitecture(
            transformer: transformer, latentHeight: self.height / autoencoder.scale,
            latentWidth: self.width / autoencoder.scale, textLength: folder.maxTextLength)
    }

    /// The transformer's configuration, which must be of the pipeline's family.
    private static func transformer(of folder: ModelFolder) throws -> TransformerConfiguration {
        let configuration = try folder.configuration("transformer")
        return folder.family == .flux
            ? .flux(try FluxConfiguration(configuration)) : .pixart(try PixArtConfiguration(configuration))
    }
}

/// A size of a model that is out of range.
public struct ModelConfigurationError: Error, Equatable, CustomStringConvertible {
    /// What is out of range, such as "height".
    public let name: String
    /// Its value.
    public let found: String
    /// What would be right.
    public let expected: String

    /// Describes a value out of range.
    public init(name: String, found: String, expected: String) {
        self.name = name
        self.found = found
        self.expected = expected
    }

    /// The name, the value and what would be right, in one line.
    public var description: String { "\(name) is \(found); expected \(expected)" }
}
