import Basics
import Foundation
import Tensors
import Testing

@Suite struct ImageTests {
    private let image = Image(width: 3, height: 2, pixels: (0..<18).map { UInt8($0 * 14) })

    @Test func decoderOutputIsClampedAndRoundedHalfToEven() {
        // Exactly between 126 and 127; 0 is exactly between 127 and 128.
        let half: Float = -0.007843106985092163
        #expect((half * 0.5 + 0.5) * 255 == 126.5)
        let planes = Matrix([-3, -1, 0, 1, 7, .nan, half, .infinity, -.infinity], rows: 3, columns: 3)
        let image = Image(planes: FeatureMap(planes, height: 1, width: 3))
        #expect(image.pixels == [0, 255, 126, 0, 255, 255, 128, 0, 0])
    }

    @Test func planesRoundTrip() {
        let planes = image.planes()
        axpby(0, planes.channels, 2, planes.channels)
        for pixel in 0..<6 { for colour in 0..<3 { planes.channels[colour, pixel] -= 1 } }
        #expect(Image(planes: planes) == image)
    }

    @Test func pngRoundTripPreservesPixelsAndTexts() throws {
        let texts = [("prompt", "a red square"), ("negative", "größer ☃"), ("empty", "")]
        let png = try image.pngData(text: texts)
        #expect(try Image(png: png) == image)
        let found = try Image.text(inPNG: png)
        #expect(found.map(\.keyword) == texts.map(\.0))
        #expect(found.map(\.value) == texts.map(\.1))
        #expect(try Image.text(inPNG: image.pngData()).isEmpty)
    }

    @Test func filesAreWrittenAtomically() throws {
        try withTemporaryFile { path in
            try image.write(to: path, text: [("seed", "7")])
            #expect(try Image(png: [UInt8](Data(contentsOf: URL(filePath: path)))) == image)
            let folder = URL(filePath: path).deletingLastPathComponent().path
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["file"])
            #expect(throws: FileError.self) { try image.write(to: "\(path)/below/a/file") }
        }
    }

    @Test func invalidPNGsAreRejected() throws {
        let png = try image.pngData(text: [("prompt", "x")])
        #expect(throws: TensorsError.png(reason: "not a PNG")) { try Image(png: [1, 2, 3]) }
        for count in 8..<(png.count - 12) {
            #expect(throws: TensorsError.self, "\(count) bytes") { try Image(png: Array(png.prefix(count))) }
        }
        var huge = png
        huge.replaceSubrange(16..<24, with: [0, 15, 0, 0, 0, 15, 0, 0])
        #expect(throws: TensorsError.self) { try Image(png: huge) }
        #expect(throws: TensorsError.self) { try Image(width: 0, height: 0, pixels: []).pngData() }
        #expect(throws: TensorsError.self) { try image.pngData(text: [("", "no keyword")]) }
        #expect(throws: TensorsError.pngEncoding(reason: "text 'zero' contains a zero byte")) {
            try image.pngData(text: [("zero", "a\0b")])
        }
    }
}
