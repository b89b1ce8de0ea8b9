import Tensors

/// The preprocessing of vision transformers: resize the shorter side, crop the centre, normalise the colours.
struct ImagePreprocessing: Sendable, Equatable {
    /// The rounding of the crop offset when an odd number of pixels is removed.
    enum CropRule: Sendable {
        /// Rounded half to even: `CenterCrop` of torchvision.
        case torchvision
        /// Rounded down: the image processors of transformers.
        case transformers
    }

    /// CLIP's means of red, green and blue.
    static let clipMean = [0.48145466, 0.4578275, 0.40821073]
    /// CLIP's standard deviations of red, green and blue.
    static let clipDeviation = [0.26862954, 0.26130258, 0.27577711]

    let shorterSide, side: Int
    let rule: CropRule
    let mean, deviation: [Float]

    /// - Parameters:
    ///   - shorterSide: The shorter side of the resized image in pixels.
    ///   - side: The side of the cropped square, at most `shorterSide`.
    ///   - rule: The rounding of the crop offset.
    ///   - mean: Three values to subtract from colours in 0...1.
    ///   - deviation: Three values to divide the differences by.
    init(shorterSide: Int, side: Int, rule: CropRule, mean: [Double], deviation: [Double]) {
        precondition(
            side >= 1 && side <= shorterSide && mean.count == 3 && deviation.count == 3,
            "invalid preprocessing: side \(side) of \(shorterSide), \(mean.count) means, \(deviation.count) deviations")
        (self.shorterSide, self.side, self.rule) = (shorterSide, side, rule)
        self.mean = mean.map { Float($0) }
        self.deviation = deviation.map { Float($0) }
    }

    /// The resized and cropped image in eight bits.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an empty image, or an aspect ratio so extreme that resizing would
    ///   take gigabytes.
    func square(_ image: Image) throws -> Image {
        let (short, long) = (min(image.width, image.height), max(image.width, image.height))
        // As in the originals, the longer side is rounded down.
        let scaledLong = short > 0 ? Int(Double(shorterSide * long) / Double(short)) : 0
        guard short > 0, shorterSide * scaledLong <= 1 << 28 else {
            throw ModelsError.invalidArgument(
                "an image of \(image.width)x\(image.height) pixels cannot be resized to a shorter side of \(shorterSide)"
            )
        }
        let isUpright = image.width <= image.height
        let scaled = image.resized(
            width: isUpright ? shorterSide : scaledLong, height: isUpright ? scaledLong : shorterSide)
        return scaled.cropped(x: offset(scaled.width), y: offset(scaled.height), width: side, height: side)
    }

    /// The network's input, `[3, side²]`.
    ///
    /// - Throws: The errors of ``square(_:)``.
    func callAsFunction(_ image: Image) throws -> FeatureMap {
        let planes = try square(image).planes()
        for colour in 0..<3 {
            let plane = planes.channels.pointer + colour * planes.channels.stride
            for pixel in 0..<(side * side) { plane[pixel] = (plane[pixel] - mean[colour]) / deviation[colour] }
        }
        return planes
    }

    private func offset(_ length: Int) -> Int {
        switch rule {
        case .torchvision: Int((Double(length - side) / 2).rounded(.toNearestOrEven))
        case .transformers: (length - side) / 2
        }
    }
}
