import CJPEG
import Foundation

extension Image {
    private static let mostPixels: UInt64 = 1 << 28

    /// The image in a PNG or JPEG file, whichever its first bytes say it is.
    ///
    /// - Parameter path: The file.
    /// - Throws: ``TensorsError/unreadable(file:reason:)`` with what is wrong with the file or its content.
    public init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw TensorsError.unreadable(file: path, reason: "no such file, or no permission")
        }
        let bytes = Array(data)
        do {
            self = bytes.starts(with: [0xFF, 0xD8]) ? try Image(jpeg: bytes) : try Image(png: bytes)
        } catch TensorsError.png(let reason), TensorsError.jpeg(let reason) {
            throw TensorsError.unreadable(file: path, reason: reason)
        }
    }

    /// The image in the bytes of a JPEG file; grey files are converted.
    ///
    /// - Parameter jpeg: The file's bytes.
    /// - Throws: ``TensorsError/jpeg(reason:)``.
    public init(jpeg: [UInt8]) throws {
        var message = [CChar](repeating: 0, count: CJPEG_MESSAGE_BYTES)
        var decoded = cjpeg_image()
        defer { cjpeg_release(&decoded) }
        guard cjpeg_decode(jpeg, jpeg.count, Self.mostPixels, &decoded, &message) else {
            throw TensorsError.jpeg(
                reason: String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        let (width, height) = (Int(decoded.width), Int(decoded.height))
        self.init(
            width: width, height: height,
            pixels: [UInt8](UnsafeBufferPointer(start: decoded.pixels, count: 3 * width * height)))
    }
}
