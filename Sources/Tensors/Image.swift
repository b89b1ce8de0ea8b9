/// An RGB image with eight bits for each colour.
public struct Image: Sendable, Equatable {
    /// The pixels in a row.
    public let width: Int
    /// The rows.
    public let height: Int
    /// Red, green and blue of each pixel, row by row; `height * width * 3` bytes.
    public let pixels: [UInt8]

    /// An image of given pixels.
    ///
    /// - Precondition: There are `height * width * 3` bytes.
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width >= 0 && height >= 0 && pixels.count == width * height * 3, "pixels and size do not fit")
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// A decoder's output as an image: `(x / 2 + 0.5)`, clamped to 0...1, times 255, rounded half to even.
    ///
    /// These are the steps of diffusers' `VaeImageProcessor`, in float32 as there. Not-a-number becomes black.
    ///
    /// - Parameter planes: `[3, H·W]`, nominally in -1...1.
    public init(planes: FeatureMap) {
        let channels = planes.channels
        precondition(channels.rows == 3, "\(channels.rows) channels, expected red, green and blue")
        width = planes.width
        height = planes.height
        pixels = [UInt8](unsafeUninitializedCapacity: 3 * channels.columns) { buffer, initializedCount in
            for colour in 0..<3 {
                let plane = channels.pointer + colour * channels.stride
                for pixel in 0..<channels.columns {
                    let value = plane[pixel] * 0.5 + 0.5
                    let clamped: Float = value > 0 ? (value < 1 ? value : 1) : 0
                    buffer[3 * pixel + colour] = UInt8((clamped * 255).rounded(.toNearestOrEven))
                }
            }
            initializedCount = 3 * channels.columns
        }
    }

    /// The image as planes in 0...1, `[3, H·W]`.
    public func planes() -> FeatureMap {
        let map = FeatureMap(channelCount: 3, height: height, width: width)
        for colour in 0..<3 {
            let plane = map.channels.pointer + colour * map.channels.stride
            for pixel in 0..<(width * height) { plane[pixel] = Float(pixels[3 * pixel + colour]) / 255 }
        }
        return map
    }
}
