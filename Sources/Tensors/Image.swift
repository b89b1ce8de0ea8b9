import Basics
import CJPEG
import CPNG
import Foundation

/// An RGB image with eight bits per channel.
public struct Image: Sendable, Equatable {
    /// Width in pixels.
    public let width: Int
    /// Height in pixels.
    public let height: Int
    /// Interleaved red, green and blue in row-major order; `height * width * 3` bytes.
    public let pixels: [UInt8]

    /// An image over interleaved RGB bytes.
    ///
    /// - Precondition: There are `height * width * 3` bytes.
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(
            width >= 0 && height >= 0 && pixels.count == width * height * 3,
            "\(pixels.count) bytes for \(width) x \(height) pixels")
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// Converts a decoder's output: `x / 2 + 0.5`, clamped to 0...1, times 255, rounded half to even.
    ///
    /// These are the steps of diffusers' `VaeImageProcessor`, in float32 as there. NaN becomes 0.
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

    /// The colour planes scaled to 0...1, `[3, H·W]`.
    public func planes() -> FeatureMap {
        let map = FeatureMap(channelCount: 3, height: height, width: width)
        for colour in 0..<3 {
            let plane = map.channels.pointer + colour * map.channels.stride
            for pixel in 0..<(width * height) { plane[pixel] = Float(pixels[3 * pixel + colour]) / 255 }
        }
        return map
    }
}

extension Image {
    /// Maximum size of an image to decode: a header of a few bytes can claim any size.
    private static let maxPixelCount: UInt64 = 1 << 28

    /// Encodes the image as a PNG file.
    ///
    /// - Parameter text: Text chunks, keyword and value; keywords are 1 to 79 ASCII characters.
    /// - Returns: The file's bytes.
    /// - Throws: ``TensorsError/pngEncoding(reason:)``.
    public func pngData(text: [(String, String)] = []) throws -> [UInt8] {
        guard let width = UInt32(exactly: width), let height = UInt32(exactly: height) else {
            throw TensorsError.pngEncoding(reason: "the image has \(width) x \(height) pixels")
        }
        // libpng takes C strings: a zero byte would silently truncate them.
        if let (keyword, _) = text.first(where: { $0.0.utf8.contains(0) || $0.1.utf8.contains(0) }) {
            throw TensorsError.pngEncoding(reason: "text '\(keyword)' contains a zero byte")
        }
        let strings = text.flatMap { [Array($0.0.utf8CString), Array($0.1.utf8CString)] }
        let starts = strings.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
        return try strings.flatMap { $0 }.withUnsafeBufferPointer { characters in
            let chunks = text.indices.map { index in
                cpng_text(
                    keyword: characters.baseAddress.map { $0 + starts[2 * index] },
                    value: characters.baseAddress.map { $0 + starts[2 * index + 1] })
            }
            return try withErrorMessage(TensorsError.pngEncoding) { message in
                var bytes = cpng_bytes()
                defer { cpng_release(&bytes) }
                guard cpng_encode(pixels, width, height, chunks, chunks.count, &bytes, message) else { return nil }
                return [UInt8](UnsafeBufferPointer(start: bytes.data, count: bytes.count))
            }
        }
    }

    /// Decodes a PNG file as Pillow's `convert("RGB")` does.
    ///
    /// Palette, greyscale and 16-bit colour files are converted, transparency is dropped. 16-bit greyscale, which Pillow
    /// clips, is an error.
    ///
    /// - Throws: ``TensorsError/png(reason:)``.
    public init(png: [UInt8]) throws {
        self = try decode(png, pixelLimit: Self.maxPixelCount).image
    }

    /// The text chunks of a PNG file, in file order.
    ///
    /// - Throws: ``TensorsError/png(reason:)``.
    public static func text(inPNG png: [UInt8]) throws -> [(keyword: String, value: String)] {
        let parts = try decode(png, pixelLimit: maxPixelCount).texts.split(
            separator: 0, omittingEmptySubsequences: false
        )
        .map { String(decoding: $0, as: UTF8.self) }
        return stride(from: 0, to: parts.count - 1, by: 2).map { (parts[$0], parts[$0 + 1]) }
    }

    /// Writes the image as a PNG file with text chunks, replacing an existing file atomically.
    ///
    /// - Throws: ``TensorsError/pngEncoding(reason:)`` or `FileError`.
    public func write(to path: String, text: [(String, String)] = []) throws {
        try FileContents.write([pngData(text: text)], to: path)
    }
}

private func decode(_ png: [UInt8], pixelLimit: UInt64) throws -> (image: Image, texts: [UInt8]) {
    try withErrorMessage(TensorsError.png) { message in
        var decoded = cpng_image()
        defer {
            cpng_release(&decoded.pixels)
            cpng_release(&decoded.texts)
        }
        guard cpng_decode(png, png.count, pixelLimit, &decoded, message) else { return nil }
        let pixels = [UInt8](UnsafeBufferPointer(start: decoded.pixels.data, count: decoded.pixels.count))
        let texts = [UInt8](UnsafeBufferPointer(start: decoded.texts.data, count: decoded.texts.count))
        return (Image(width: Int(decoded.width), height: Int(decoded.height), pixels: pixels), texts)
    }
}

/// Calls libpng; if `call` returns nil, throws an error with the message that libpng wrote.
private func withErrorMessage<Result>(
    _ error: (String) -> TensorsError, _ call: (UnsafeMutablePointer<CChar>) -> Result?
) throws -> Result {
    var message = [CChar](repeating: 0, count: CPNG_MESSAGE_BYTES)
    guard let result = message.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap(call) }) else {
        throw error(String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    return result
}

extension Image {
    /// Reads a PNG or JPEG file; the first bytes decide which, not the file name.
    ///
    /// - Throws: ``TensorsError/unreadable(file:reason:)``, also if the content cannot be decoded.
    public init(path: String) throws {
        do {
            let bytes = try FileContents.read(path)
            if let reason = unsupportedFormat(bytes) { throw TensorsError.unreadable(file: path, reason: reason) }
            self = bytes.starts(with: jpegMark) ? try Image(jpeg: bytes) : try Image(png: bytes)
        } catch let error as FileError {
            let prefix = "cannot be read: "
            throw TensorsError.unreadable(
                file: path,
                reason: error.problem.hasPrefix(prefix) ? String(error.problem.dropFirst(prefix.count)) : error.problem)
        } catch TensorsError.png(let reason), TensorsError.jpeg(let reason) {
            throw TensorsError.unreadable(file: path, reason: reason)
        }
    }

    /// Decodes a JPEG file as Pillow's `convert("RGB")` does.
    ///
    /// Greyscale and CMYK files are converted, damage that libjpeg repairs is accepted, the orientation of EXIF is not
    /// applied.
    ///
    /// - Throws: ``TensorsError/jpeg(reason:)``.
    public init(jpeg: [UInt8]) throws {
        var message = [CChar](repeating: 0, count: CJPEG_MESSAGE_BYTES)
        var decoded = cjpeg_image()
        defer { cjpeg_release(&decoded) }
        guard cjpeg_decode(jpeg, jpeg.count, Self.maxPixelCount, &decoded, &message) else {
            throw TensorsError.jpeg(
                reason: String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        let (width, height) = (Int(decoded.width), Int(decoded.height))
        self.init(
            width: width, height: height,
            pixels: [UInt8](UnsafeBufferPointer(start: decoded.pixels, count: 3 * width * height)))
    }
}

/// The first bytes of a JPEG file, as Pillow recognises it.
private let jpegMark: [UInt8] = [0xFF, 0xD8, 0xFF]

/// Why the bytes are neither PNG nor JPEG, by the first bytes of common formats; nil if they may be.
private func unsupportedFormat(_ bytes: [UInt8]) -> String? {
    let png: [UInt8] = [0x89, 0x50, 0x4E, 0x47]
    guard !bytes.isEmpty else { return "the file is empty; expected PNG or JPEG" }
    guard !bytes.starts(with: jpegMark), !bytes.starts(with: png) else { return nil }
    func has(_ text: String, at offset: Int = 0) -> Bool { bytes.dropFirst(offset).starts(with: text.utf8) }
    let name =
        if has("RIFF"), has("WEBP", at: 8) {
            "WebP"
        } else if has("GIF8") {
            "GIF"
        } else if has("BM") {
            "BMP"
        } else if has("II*\u{0}") || has("MM\u{0}*") {
            "TIFF"
        } else if has("ftypavif", at: 4) {
            "AVIF"
        } else if has("ftyphei", at: 4) {
            "HEIC"
        } else {
            "not an image"
        }
    return "\(name); expected PNG or JPEG"
}
