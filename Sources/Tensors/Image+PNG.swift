import Basics
import CPNG

extension Image {
    /// The most pixels a PNG may have to be read: a header of a few bytes can claim any size.
    private static let mostPixels: UInt64 = 1 << 28

    /// The image as the bytes of a PNG file.
    ///
    /// - Parameter text: Text chunks, keyword and value; keywords are 1 to 79 characters of ASCII.
    /// - Returns: The file's bytes.
    /// - Throws: ``TensorsError/png(reason:)``.
    public func pngData(text: [(String, String)] = []) throws -> [UInt8] {
        guard let width = UInt32(exactly: width), let height = UInt32(exactly: height) else {
            throw TensorsError.png(reason: "an image of \(width) x \(height) pixels")
        }
        // libpng takes C strings: a zero byte would end them early, and silently.
        if let (keyword, _) = text.first(where: { $0.0.utf8.contains(0) || $0.1.utf8.contains(0) }) {
            throw TensorsError.png(reason: "text '\(keyword)' holds a zero byte")
        }
        let strings = text.flatMap { [Array($0.0.utf8CString), Array($0.1.utf8CString)] }
        let starts = strings.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
        return try strings.flatMap { $0 }.withUnsafeBufferPointer { characters in
            let chunks = text.indices.map { index in
                cpng_text(
                    keyword: characters.baseAddress.map { $0 + starts[2 * index] },
                    value: characters.baseAddress.map { $0 + starts[2 * index + 1] })
            }
            return try withCalls { message in
                var bytes = cpng_bytes()
                defer { cpng_release(&bytes) }
                guard cpng_encode(pixels, width, height, chunks, chunks.count, &bytes, message) else { return nil }
                return [UInt8](UnsafeBufferPointer(start: bytes.data, count: bytes.count))
            }
        }
    }

    /// The image in the bytes of a PNG file; palette, grey and 16-bit files are converted, transparency is dropped.
    ///
    /// - Parameter png: The file's bytes.
    /// - Throws: ``TensorsError/png(reason:)``.
    public init(png: [UInt8]) throws {
        self = try decode(png, pixelLimit: Self.mostPixels).image
    }

    /// The text chunks in the bytes of a PNG file, in file order.
    ///
    /// - Parameter png: The file's bytes.
    /// - Returns: Keywords and values.
    /// - Throws: ``TensorsError/png(reason:)``.
    public static func text(inPNG png: [UInt8]) throws -> [(keyword: String, value: String)] {
        let parts = try decode(png, pixelLimit: mostPixels).texts.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        return stride(from: 0, to: parts.count - 1, by: 2).map { (parts[$0], parts[$0 + 1]) }
    }

    /// Writes the image as a PNG file, replacing one of that name only when the new one is complete.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - text: Text chunks, keyword and value.
    /// - Throws: ``TensorsError/png(reason:)`` or `FileError`.
    public func write(to path: String, text: [(String, String)] = []) throws {
        try FileContents.write([pngData(text: text)], to: path)
    }
}

private func decode(_ png: [UInt8], pixelLimit: UInt64) throws -> (image: Image, texts: [UInt8]) {
    try withCalls { message in
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

/// Turns the nil of a failed call of libpng into an error with the message it left.
private func withCalls<Result>(_ call: (UnsafeMutablePointer<CChar>) -> Result?) throws -> Result {
    var message = [CChar](repeating: 0, count: CPNG_MESSAGE_BYTES)
    guard let result = message.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap(call) }) else {
        throw TensorsError.png(
            reason: String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    return result
}
