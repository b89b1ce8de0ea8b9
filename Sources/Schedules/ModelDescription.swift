import Basics
import JSON

/// What a model directory's configuration files say of the model at an image size; the weights are not opened.
public struct ModelDescription: Hashable, Sendable {
    /// Blocks and dimensions at the image size.
    public let architecture: ModelArchitecture
    /// Height of the images in pixels.
    public let height: Int
    /// Width of the images in pixels.
    public let width: Int

    /// Reads `model_index.json` and the configurations of transformer and autoencoder.
    ///
    /// - Parameters:
    ///   - folder: A model directory in the diffusers layout.
    ///   - height: Height of the images in pixels; nil for the model's native size.
    ///   - width: Width of the images in pixels; nil for the model's native size.
    /// - Throws: ``SchedulesError`` for files that are missing or malformed and for models of other kinds;
    ///   ``SchedulesError/outOfRange(name:expected:found:)`` named `height` or `width` for sizes that the model cannot
    ///   make.
    public init(modelFolder folder: String, height: Int? = nil, width: Int? = nil) throws {
        let index = try Self.root("\(folder)/model_index.json")
        let pipeline = try index.optional("_class_name")?.string() ?? ""
        let textLength =
            switch pipeline {
            case "PixArtSigmaPipeline": 300
            case "FluxPipeline": try Self.fluxTextLength(folder)
            default: 120
            }
        let autoencoder = try Self.root("\(folder)/vae/config.json")
        let channels = try autoencoder.required("block_out_channels")
        guard let count = channels.value.array?.count, (1...8).contains(count) else {
            throw channels.mismatch("a list of 1 to 8 channel counts")
        }
        let scale = 1 << (count - 1)
        let transformer = try Self.root("\(folder)/transformer/config.json")
        let isFlux = transformer.value.object?["_class_name"] == "FluxTransformer2DModel"
        // FLUX's transformer names no size; its autoencoder does.
        let nativeSize =
            try isFlux
            ? autoencoder.optional("sample_size")?.int(in: 1...65536) ?? 32
            : (transformer.optional("sample_size")?.int(in: 1...65536) ?? 128) * scale
        // FLUX packs squares of 2 x 2 latents whatever its patch_size says.
        let patch = try isFlux ? 2 : transformer.optional("patch_size")?.int(in: 1...64) ?? 2
        self.height = height ?? nativeSize
        self.width = width ?? nativeSize
        for (name, length) in [("height", self.height), ("width", self.width)]
        where length < 1 || length % (scale * patch) != 0 {
            throw SchedulesError.outOfRange(
                name: name, expected: "a multiple of \(scale * patch) for this model", found: "\(length)")
        }
        architecture = try ModelArchitecture(
            configuration: transformer, latentHeight: self.height / scale, latentWidth: self.width / scale,
            textLength: textLength)
    }

    /// FLUX attends to padding, so a model whose T5 tokenizer states fewer tokens than the pipeline's default wants that many.
    private static func fluxTextLength(_ folder: String) throws -> Int {
        let (longest, file) = (512.0, "\(folder)/tokenizer_2/tokenizer_config.json")
        guard FileContents.exists(file), let stated = try root(file).optional("model_max_length") else {
            return Int(longest)
        }
        // transformers writes 1e30 for a length that it does not know.
        return Int(min(longest, max(1, try stated.double())))
    }

    /// Reads a configuration file of a model directory, which must hold an object.
    static func root(_ path: String) throws -> JSONCursor {
        let bytes: [UInt8]
        do {
            bytes = try FileContents.read(path)
        } catch {
            throw FileError(
                path: path, problem: error.problem + " (expected a model directory in the diffusers layout)")
        }
        let root = JSONCursor(root: try JSONValue(parsing: bytes, file: path, acceptsInfinity: true), file: path)
        _ = try root.object()
        return root
    }
}

extension ModelArchitecture {
    /// Reads the architecture of a model directory in the diffusers layout.
    ///
    /// - Parameters:
    ///   - folder: The model directory.
    ///   - height: Height of the images in pixels; nil for the model's native size.
    ///   - width: Width of the images in pixels; nil for the model's native size.
    /// - Throws: As ``ModelDescription/init(modelFolder:height:width:)``.
    public init(modelFolder folder: String, height: Int? = nil, width: Int? = nil) throws {
        self = try ModelDescription(modelFolder: folder, height: height, width: width).architecture
    }
}
