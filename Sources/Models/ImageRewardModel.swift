import ModelConfiguration
import Tensors

/// ImageReward (arXiv 2304.05977): a reward model of human preference for text-to-image generation.
///
/// BLIP's image encoder, its image-grounded text encoder, and an MLP on the first token. `scripts/convert_scorers.py`
/// documents the directory layout.
public final class ImageRewardModel {
    /// A tokenised text.
    public struct Tokens: Sendable {
        let ids: [Int]
    }

    private let tokenizer: WordPieceTokenizer
    private let textLength: Int
    private let preprocessing: ImagePreprocessing
    private let vision: BLIPVision
    private let text: BLIPText
    private let head: [Linear]
    private let mean, deviation: Double
    private let workspace = Workspace()

    /// Opens a directory with `config.json`, weights and `vocab.txt`.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String) throws {
        let c = try Configuration(path: "\(folder)/config.json")
        _ = try c.require("model_type", oneOf: ["image-reward"], default: "")
        let checkpoint = try Checkpoint(folder: folder, library: .transformers)
        let (side, patch) = (
            try c.count("image_size", default: 224, in: 1...4096), try c.count("patch_size", default: 16, in: 1...1024)
        )
        let (width, heads) = (try c.count("vision_width", default: 1024), try c.count("vision_heads", default: 16))
        guard side % patch == 0 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "patch_size", expected: "a divisor of image_size = \(side)", found: "\(patch)")
        }
        guard width % heads == 0 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "vision_heads", expected: "a divisor of vision_width = \(width)", found: "\(heads)")
        }
        let settings = try BLIPText.Settings(try c.section("med_config"))
        textLength = try c.count("text_length", default: 35, in: 2...settings.positionCount)
        mean = try c.double("reward_mean", default: 0.16717362830052426)
        deviation = try c.positive("reward_std", default: 1.0333394966054072)
        let colours = try c.colours("image_std", default: ImagePreprocessing.clipDeviation)
        guard colours.allSatisfy({ $0 > 0 }) else {
            throw ModelsError.invalidValue(
                path: c.path, key: "image_std", expected: "positive numbers", found: "\(colours)")
        }
        preprocessing = ImagePreprocessing(
            shorterSide: side, side: side, rule: .torchvision,
            mean: try c.colours("image_mean", default: ImagePreprocessing.clipMean), deviation: colours)
        vision = try BLIPVision(
            checkpoint, prefix: "blip.visual_encoder", side: side, patch: patch, width: width,
            layers: try c.count("vision_layers", default: 24, in: 1...1000), heads: heads)
        text = try BLIPText(
            checkpoint, prefix: "blip.text_encoder", settings: settings, imageWidth: width)
        tokenizer = try WordPieceTokenizer(path: "\(folder)/vocab.txt", embeddingCount: settings.vocabulary)
        let widths = [settings.width] + (try c.counts("head_widths", default: [1024, 128, 64, 16])) + [1]
        guard widths.count == Self.headLayers.count + 1 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "head_widths", expected: "a list of \(Self.headLayers.count - 1) integers",
                found: "\(widths.count - 2)")
        }
        head = try Self.headLayers.enumerated().map { index, number in
            try checkpoint.linear("mlp.layers.\(number)", inputs: widths[index], outputs: widths[index + 1])
        }
    }

    /// The linear layers of the MLP; the indices between are dropout layers.
    private static let headLayers = [0, 2, 4, 6, 7]

    /// The tokens of a text, truncated to the model's text length.
    public func tokens(of text: String) -> Tokens {
        Tokens(ids: tokenizer.encode(text, maxLength: textLength).map(Int.init))
    }

    /// The reward of an image for a text; higher is better, normalised to about mean 0 and standard deviation 1.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an empty image.
    public func reward(of image: Image, for tokens: Tokens) throws -> Double {
        let imageTokens = vision.encode(try preprocessing(image), workspace: workspace)
        var state = text.encode(ids: tokens.ids, image: imageTokens, workspace: workspace)
        for layer in head {
            let next = Matrix(rows: 1, columns: layer.weight.rows)
            linear(state, layer, into: next, workspace: workspace)
            state = next
        }
        return (Double(state[0, 0]) - mean) / deviation
    }
}
