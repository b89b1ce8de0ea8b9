import ModelConfiguration
import Tensors

/// Inception-v3 (arXiv 1512.00567) as used for the Fréchet inception distance: `fid_inception_v3` of pytorch-fid.
///
/// It has the weights of TensorFlow's 2015 release and differs from torchvision's network in two points: average pooling
/// does not count padding, and the pool branch of the last block uses max pooling. The features are the channel means of
/// the last block. Batch norms are folded into the convolutions.
public final class InceptionV3 {
    /// The side of the square input in pixels.
    public static let side = 299

    /// The resizing and scaling of an image to the network's input.
    public enum Preprocessing: String, Sendable, CaseIterable {
        /// As in clean-fid: antialiased bicubic in floating point, then `(x - 128) / 128`.
        case cleanFID = "clean-fid"
        /// As in pytorch-fid: bilinear without antialiasing, then `2 x / 255 - 1`.
        case pytorchFID = "pytorch-fid"
    }

    /// The default preprocessing, from the configuration.
    public let preprocessing: Preprocessing
    /// The number of features; 2048 for the published network.
    public let width: Int

    private let stem: [Step]
    private let blocks: [[Branch]]
    private let workspace = Workspace()

    /// Opens a directory written by `scripts/convert_scorers.py`, with `config.json` and weights.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String) throws {
        let configuration = try Configuration(path: "\(folder)/config.json")
        _ = try configuration.require("model_type", oneOf: ["fid-inception-v3"], default: "")
        let names = Preprocessing.allCases.map(\.rawValue)
        let name = try configuration.require("preprocessing", oneOf: names, default: Preprocessing.cleanFID.rawValue)
        preprocessing = Preprocessing(rawValue: name) ?? .cleanFID
        let divisor = try configuration.count("width_divisor", default: 1, in: 1...16)
        guard [1, 2, 4, 8, 16].contains(divisor) else {
            throw ModelsError.invalidValue(
                path: configuration.path, key: "width_divisor", expected: "1, 2, 4, 8 or 16", found: "\(divisor)")
        }
        let loader = Loader(checkpoint: try Checkpoint(folder: folder, library: .transformers), divisor: divisor)
        width = 2048 / divisor
        stem = try loader.stem()
        blocks = try loader.blocks()
    }

    /// The features of an image, `[1, width]`.
    ///
    /// - Parameters:
    ///   - image: A non-empty image.
    ///   - preprocessing: The preprocessing; nil for the default.
    /// - Returns: The features.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an empty image.
    public func features(of image: Image, preprocessing: Preprocessing? = nil) throws -> Matrix {
        guard image.width > 0, image.height > 0 else {
            throw ModelsError.invalidArgument(
                "the image has \(image.width)x\(image.height) pixels; expected at least 1x1")
        }
        let input: FeatureMap
        switch preprocessing ?? self.preprocessing {
        case .cleanFID:
            input = image.resizedPlanes(width: Self.side, height: Self.side)
            Self.transform(input) { (min(max($0, 0), 255) - 128) / 128 }
        case .pytorchFID:
            input = image.planes().interpolated(height: Self.side, width: Self.side)
            Self.transform(input) { 2 * $0 - 1 }
        }
        return features(of: input)
    }

    /// The features of a preprocessed image.
    ///
    /// - Parameter input: `[3, 299²]`.
    /// - Returns: `[1, width]`.
    func features(of input: FeatureMap) -> Matrix {
        var map = stem.reduce(input) { $1.apply($0, workspace: workspace) }
        for branches in blocks {
            let parts = branches.map { branch in branch.apply(map, workspace: workspace) }
            let height = parts[0].height
            let joined = FeatureMap(
                channelCount: parts.reduce(0) { $0 + $1.channels.rows }, height: height, width: parts[0].width)
            var row = 0
            for part in parts {
                joined.channels.rows(row..<(row + part.channels.rows)).copy(from: part.channels)
                row += part.channels.rows
            }
            map = joined
        }
        return channelMeans(map)
    }

    private static func transform(_ map: FeatureMap, _ body: (Float) -> Float) {
        let values = UnsafeMutableBufferPointer(start: map.channels.pointer, count: map.channels.count)
        for index in values.indices { values[index] = body(values[index]) }
    }

    // MARK: - Operations

    /// One operation of a branch.
    private enum Step {
        /// Convolution, batch norm, ReLU.
        case unit(Convolution)
        case averagePool
        case maxPool(stride: Int, padding: Int)
        /// Two units on the same input, with concatenated output channels.
        case fork(Convolution, Convolution)

        func apply(_ x: FeatureMap, workspace: Workspace) -> FeatureMap {
            switch self {
            case .unit(let convolution): return Self.apply(convolution, x, workspace)
            case .averagePool:
                let y = FeatureMap(channelCount: x.channels.rows, height: x.height, width: x.width)
                averagePool3x3(x, into: y)
                return y
            case .maxPool(let stride, let padding):
                let y = FeatureMap(
                    channelCount: x.channels.rows, height: (x.height + 2 * padding - 3) / stride + 1,
                    width: (x.width + 2 * padding - 3) / stride + 1)
                maxPool3x3(x, stride: stride, padding: padding, into: y)
                return y
            case .fork(let first, let second):
                let (a, b) = (Self.apply(first, x, workspace), Self.apply(second, x, workspace))
                let y = FeatureMap(
                    channelCount: a.channels.rows + b.channels.rows, height: a.height, width: a.width)
                y.channels.rows(0..<a.channels.rows).copy(from: a.channels)
                y.channels.rows(a.channels.rows..<y.channels.rows).copy(from: b.channels)
                return y
            }
        }

        private static func apply(_ convolution: Convolution, _ x: FeatureMap, _ workspace: Workspace) -> FeatureMap {
            let size = convolution.outputSize(height: x.height, width: x.width)
            let y = FeatureMap(channelCount: convolution.outputCount, height: size.height, width: size.width)
            convolve(x, convolution, into: y, workspace: workspace)
            activate(.relu, y.channels)
            return y
        }
    }

    private struct Branch {
        let steps: [Step]

        func apply(_ x: FeatureMap, workspace: Workspace) -> FeatureMap {
            steps.reduce(x) { $1.apply($0, workspace: workspace) }
        }
    }

    /// Builds the network from the weights.
    private struct Loader {
        static let epsilon: Float = 1e-3
        let checkpoint: Checkpoint
        let divisor: Int

        /// A convolution with the following batch norm folded in: rows are scaled by `weight / √(variance + ε)`.
        func convolution(
            _ name: String, _ inputs: Int, _ outputs: Int, _ height: Int, _ width: Int, stride: Int = 1,
            isPadded: Bool = true
        ) throws -> Convolution {
            let (inputs, outputs) = (inputs == 3 ? 3 : inputs / divisor, outputs / divisor)
            let weight = try checkpoint.matrix(
                "\(name).conv.weight", shape: [outputs, inputs, height, width], rows: outputs,
                columns: inputs * height * width)
            func vector(_ part: String) throws -> Matrix {
                try checkpoint.vector("\(name).bn.\(part)", count: outputs)
            }
            let (gain, shift) = (try vector("weight"), try vector("bias"))
            let (mean, variance) = (try vector("running_mean"), try vector("running_var"))
            for row in 0..<outputs {
                let scale = gain[0, row] / (variance[0, row] + Self.epsilon).squareRoot()
                for column in 0..<weight.columns { weight[row, column] *= scale }
                shift[0, row] -= mean[0, row] * scale
            }
            return Convolution(
                weight: Weight(weight), bias: shift, kernelHeight: height, kernelWidth: width,
                verticalPadding: isPadded ? height / 2 : 0, horizontalPadding: isPadded ? width / 2 : 0, stride: stride)
        }

        func unit(
            _ name: String, _ inputs: Int, _ outputs: Int, _ height: Int = 1, _ width: Int = 1, stride: Int = 1,
            isPadded: Bool = true
        ) throws -> Step {
            .unit(
                try convolution(name, inputs, outputs, height, width, stride: stride, isPadded: isPadded))
        }

        func stem() throws -> [Step] {
            [
                try unit("Conv2d_1a_3x3", 3, 32, 3, 3, stride: 2, isPadded: false),
                try unit("Conv2d_2a_3x3", 32, 32, 3, 3, isPadded: false),
                try unit("Conv2d_2b_3x3", 32, 64, 3, 3),
                .maxPool(stride: 2, padding: 0),
                try unit("Conv2d_3b_1x1", 64, 80),
                try unit("Conv2d_4a_3x3", 80, 192, 3, 3, isPadded: false),
                .maxPool(stride: 2, padding: 0),
            ]
        }

        func blocks() throws -> [[Branch]] {
            [
                try blockA("Mixed_5b", 192, pool: 32), try blockA("Mixed_5c", 256, pool: 64),
                try blockA("Mixed_5d", 288, pool: 64), try blockB("Mixed_6a", 288),
                try blockC("Mixed_6b", inner: 128), try blockC("Mixed_6c", inner: 160),
                try blockC("Mixed_6d", inner: 160), try blockC("Mixed_6e", inner: 192), try blockD("Mixed_7a", 768),
                try blockE("Mixed_7b", 1280, pool: .averagePool),
                try blockE("Mixed_7c", 2048, pool: .maxPool(stride: 1, padding: 1)),
            ]
        }

        private func blockA(_ name: String, _ inputs: Int, pool: Int) throws -> [Branch] {
            [
                Branch(steps: [try unit("\(name).branch1x1", inputs, 64)]),
                Branch(steps: [
                    try unit("\(name).branch5x5_1", inputs, 48), try unit("\(name).branch5x5_2", 48, 64, 5, 5),
                ]),
                Branch(steps: [
                    try unit("\(name).branch3x3dbl_1", inputs, 64), try unit("\(name).branch3x3dbl_2", 64, 96, 3, 3),
                    try unit("\(name).branch3x3dbl_3", 96, 96, 3, 3),
                ]),
                Branch(steps: [.averagePool, try unit("\(name).branch_pool", inputs, pool)]),
            ]
        }

        private func blockB(_ name: String, _ inputs: Int) throws -> [Branch] {
            [
                Branch(steps: [try unit("\(name).branch3x3", inputs, 384, 3, 3, stride: 2, isPadded: false)]),
                Branch(steps: [
                    try unit("\(name).branch3x3dbl_1", inputs, 64), try unit("\(name).branch3x3dbl_2", 64, 96, 3, 3),
                    try unit("\(name).branch3x3dbl_3", 96, 96, 3, 3, stride: 2, isPadded: false),
                ]),
                Branch(steps: [.maxPool(stride: 2, padding: 0)]),
            ]
        }

        private func blockC(_ name: String, inner: Int) throws -> [Branch] {
            [
                Branch(steps: [try unit("\(name).branch1x1", 768, 192)]),
                Branch(steps: [
                    try unit("\(name).branch7x7_1", 768, inner), try unit("\(name).branch7x7_2", inner, inner, 1, 7),
                    try unit("\(name).branch7x7_3", inner, 192, 7, 1),
                ]),
                Branch(steps: [
                    try unit("\(name).branch7x7dbl_1", 768, inner),
                    try unit("\(name).branch7x7dbl_2", inner, inner, 7, 1),
                    try unit("\(name).branch7x7dbl_3", inner, inner, 1, 7),
                    try unit("\(name).branch7x7dbl_4", inner, inner, 7, 1),
                    try unit("\(name).branch7x7dbl_5", inner, 192, 1, 7),
                ]),
                Branch(steps: [.averagePool, try unit("\(name).branch_pool", 768, 192)]),
            ]
        }

        private func blockD(_ name: String, _ inputs: Int) throws -> [Branch] {
            [
                Branch(steps: [
                    try unit("\(name).branch3x3_1", inputs, 192),
                    try unit("\(name).branch3x3_2", 192, 320, 3, 3, stride: 2, isPadded: false),
                ]),
                Branch(steps: [
                    try unit("\(name).branch7x7x3_1", inputs, 192), try unit("\(name).branch7x7x3_2", 192, 192, 1, 7),
                    try unit("\(name).branch7x7x3_3", 192, 192, 7, 1),
                    try unit("\(name).branch7x7x3_4", 192, 192, 3, 3, stride: 2, isPadded: false),
                ]),
                Branch(steps: [.maxPool(stride: 2, padding: 0)]),
            ]
        }

        private func blockE(_ name: String, _ inputs: Int, pool: Step) throws -> [Branch] {
            [
                Branch(steps: [try unit("\(name).branch1x1", inputs, 320)]),
                Branch(steps: [
                    try unit("\(name).branch3x3_1", inputs, 384),
                    .fork(
                        try convolution("\(name).branch3x3_2a", 384, 384, 1, 3),
                        try convolution("\(name).branch3x3_2b", 384, 384, 3, 1)),
                ]),
                Branch(steps: [
                    try unit("\(name).branch3x3dbl_1", inputs, 448), try unit("\(name).branch3x3dbl_2", 448, 384, 3, 3),
                    .fork(
                        try convolution("\(name).branch3x3dbl_3a", 384, 384, 1, 3),
                        try convolution("\(name).branch3x3dbl_3b", 384, 384, 3, 1)),
                ]),
                Branch(steps: [pool, try unit("\(name).branch_pool", inputs, 192)]),
            ]
        }
    }
}
