import Models
import Scoring
import Tensors

// Scorers compared with their original packages, from 8-bit images to scores.
extension Verification {
    /// Rewards of image-prompt pairs.
    static func compareImageReward(
        _ file: ReferenceFile, model: String, tolerance: Double
    ) throws -> [TensorComparison] {
        let (images, prompts) = try imagesAndPrompts(file)
        let expected = try file.tensor("rewards", shape: [images.count])
        let scorer = try ImageRewardScorer(folder: model)
        let rewards = try scorer.scores(of: zip(images, prompts).map { ScoredImage(image: $0, prompt: $1) })
        return [
            TensorComparison(
                name: "rewards", engine: rewards.map { Float($0) }, reference: try expected.floats(),
                tolerance: tolerance)
        ]
    }

    /// CLIP features of images and prompts, and the cosine of each pair.
    static func compareCLIPScore(_ file: ReferenceFile, model: String, tolerance: Double) throws -> [TensorComparison] {
        let (images, prompts) = try imagesAndPrompts(file)
        let clip = try CLIPModel(folder: model)
        let shape = [images.count, clip.featureCount]
        let (imageFeatures, textFeatures) = (
            try file.tensor("image_features", shape: shape), try file.tensor("text_features", shape: shape)
        )
        let cosines = try file.tensor("cosine", shape: [images.count])
        let scorer = try CLIPScorer(folder: model)
        let scores = try scorer.scores(of: zip(images, prompts).map { ScoredImage(image: $0, prompt: $1) })
        return [
            TensorComparison(
                name: "image_features", engine: try images.flatMap { try clip.features(of: $0).values },
                reference: try imageFeatures.floats(), tolerance: tolerance),
            TensorComparison(
                name: "text_features", engine: try prompts.flatMap { try clip.features(of: $0).values },
                reference: try textFeatures.floats(), tolerance: tolerance),
            TensorComparison(
                name: "cosine", engine: scores.map { Float($0 / 100) }, reference: try cosines.floats(),
                tolerance: tolerance),
        ]
    }

    /// Features of two sets of images and their Frechet distance.
    ///
    /// The tolerance of the distance is ten times that of the features, because its square roots amplify errors.
    static func compareFrechet(_ file: ReferenceFile, model: String, tolerance: Double) throws -> [TensorComparison] {
        let extractor = try FeatureExtractor(folder: model)
        guard try file.text("features") == extractor.name else { throw file.invalid("features", extractor.name) }
        var preprocessing: InceptionV3.Preprocessing?
        if file.has(metadata: "preprocessing") {
            preprocessing = InceptionV3.Preprocessing(rawValue: try file.text("preprocessing"))
            guard preprocessing != nil else { throw file.invalid("preprocessing", "clean-fid or pytorch-fid") }
        }
        func features(_ image: Image) throws -> [Float] {
            switch extractor {
            case .inception(let network): try network.features(of: image, preprocessing: preprocessing).values
            case .clip: try extractor.features(of: image).values
            }
        }
        var rows: [TensorComparison] = []
        let sets = try ["a", "b"].map { name in
            let images = try images(file, "images_\(name)")
            let expected = try file.tensor("features_\(name)", shape: [images.count, extractor.width])
            let statistics = FeatureStatistics(width: extractor.width)
            let found = try images.flatMap { image in
                let features = try features(image)
                statistics.add(features)
                return features
            }
            rows.append(
                TensorComparison(
                    name: "features_\(name)", engine: found, reference: try expected.floats(), tolerance: tolerance))
            return statistics
        }
        let expected = try file.tensor("distance", shape: [1])
        let distance = try FrechetDistance.between(sets[0], sets[1])
        rows.append(
            TensorComparison(
                name: "distance", engine: [Float(distance)], reference: try expected.floats(),
                tolerance: 10 * tolerance))
        return rows
    }

    private static func imagesAndPrompts(_ file: ReferenceFile) throws -> (images: [Image], prompts: [String]) {
        let images = try images(file, "images")
        let expected = "an array of \(images.count) strings"
        let prompts = try file.value("prompts", as: [String].self, expected: expected)
        guard prompts.count == images.count else { throw file.invalid("prompts", expected) }
        return (images, prompts)
    }

    /// 8-bit images from a tensor `[P, 3, H, W]` in 0...1.
    private static func images(_ file: ReferenceFile, _ name: String) throws -> [Image] {
        let tensor = try file.tensor(name, shape: [nil, 3, nil, nil])
        let (height, width) = (tensor.shape[2], tensor.shape[3])
        let values = try tensor.floats()
        return (0..<tensor.shape[0]).map { number in
            var pixels = [UInt8](repeating: 0, count: 3 * height * width)
            for colour in 0..<3 {
                for pixel in 0..<(height * width) {
                    let value = values[(3 * number + colour) * height * width + pixel]
                    pixels[3 * pixel + colour] = value > 0 ? UInt8(min(255 * value, 255).rounded()) : 0
                }
            }
            return Image(width: width, height: height, pixels: pixels)
        }
    }
}
