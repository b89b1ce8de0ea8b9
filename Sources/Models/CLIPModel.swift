import Foundation
import ModelConfiguration
import Tensors

/// CLIP as a judge of how well image and text fit (arXiv 2103.00020): `CLIPModel` of transformers, any directory of one.
public final class CLIPModel {
    /// The number of features, the same for images and texts.
    public let featureCount: Int

    private let tokenizer: CLIPTokenizer
    private let textLength: Int
    private let text: CLIPTextEncoder
    private let vision: CLIPVisionEncoder
    private let textProjection, imageProjection: Linear
    private let preprocessing: ImagePreprocessing
    private let workspace = Workspace()

    /// Opens a directory: `config.json`, weights, tokenizer files, `preprocessor_config.json`.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String) throws {
        let configuration = try Configuration(path: "\(folder)/config.json")
        _ = try configuration.require("model_type", oneOf: ["clip"], default: "")
        let checkpoint = try Checkpoint(folder: folder)
        featureCount = try configuration.count("projection_dim", default: 512)
        text = try CLIPTextEncoder(checkpoint, try configuration.section("text_config"), folder: folder)
        vision = try CLIPVisionEncoder(checkpoint, try configuration.section("vision_config"))
        textProjection = try checkpoint.linear(
            "text_projection", inputs: text.width, outputs: featureCount, bias: false)
        imageProjection = try checkpoint.linear(
            "visual_projection", inputs: vision.width, outputs: featureCount, bias: false)
        tokenizer = try CLIPTokenizer(folder: folder)
        try tokenizer.checkTokens(fit: text.vocabulary)
        textLength = min(tokenizer.maxLength, text.positionCount)
        preprocessing = try Self.preprocessing("\(folder)/preprocessor_config.json", side: vision.side)
    }

    /// The features of an image, of length 1, `[1, featureCount]`.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an empty image.
    public func features(of image: Image) throws -> Matrix {
        projected(vision.encode(try preprocessing(image)), imageProjection)
    }

    /// The features of a text, of length 1, `[1, featureCount]`; longer texts than the model reads are cut.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for a token beyond the vocabulary.
    public func features(of text: String) throws -> Matrix {
        let ids = tokenizer.encode(text, maxLength: textLength)
        // Attention is causal and the end token pools: padding changes nothing.
        return projected(try self.text.encode(ids: Array(ids.ids.prefix(ids.tokenCount))).pooled, textProjection)
    }

    private func projected(_ state: Matrix, _ projection: Linear) -> Matrix {
        let features = Matrix(rows: 1, columns: featureCount)
        linear(state, projection, into: features, workspace: workspace)
        let length = features.values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        for column in 0..<featureCount { features[0, column] = Float(Double(features[0, column]) / length) }
        return features
    }

    /// What `CLIPImageProcessor` does by its configuration; without one, by the image size and CLIP's colours.
    private static func preprocessing(_ path: String, side: Int) throws -> ImagePreprocessing {
        let (mean, deviation) = (ImagePreprocessing.clipMean, ImagePreprocessing.clipDeviation)
        guard FileManager.default.fileExists(atPath: path) else {
            return ImagePreprocessing(
                shorterSide: side, side: side, rule: .transformers, mean: mean, deviation: deviation)
        }
        let c = try Configuration(path: path)
        for key in ["do_resize", "do_center_crop", "do_normalize", "do_rescale"]
        where try !c.bool(key, default: true) {
            throw ModelsError.invalidValue(path: path, key: key, expected: "true", found: "false")
        }
        guard try c.int("resample", default: 3) == 3 else {
            throw ModelsError.invalidValue(
                path: path, key: "resample", expected: "3 (bicubic)", found: "\(try c.int("resample"))")
        }
        // Older files give a number, newer ones an object.
        func length(_ key: String, _ member: String) throws -> Int {
            if let number = try? c.count(key, in: 1...4096) { return number }
            return try c.section(key).count(member, default: side, in: 1...4096)
        }
        let (shorterSide, cut) = (try length("size", "shortest_edge"), try length("crop_size", "height"))
        guard cut == side, shorterSide >= cut else {
            throw ModelsError.invalidValue(
                path: path, key: "crop_size", expected: "the model's image_size, \(side), and no more than size",
                found: "\(cut) of \(shorterSide)")
        }
        let found = (try c.colours("image_mean", default: mean), try c.colours("image_std", default: deviation))
        guard found.1.allSatisfy({ $0 > 0 }) else {
            throw ModelsError.invalidValue(
                path: path, key: "image_std", expected: "positive numbers", found: "\(found.1)")
        }
        return ImagePreprocessing(
            shorterSide: shorterSide, side: cut, rule: .transformers, mean: found.0, deviation: found.1)
    }
}
