import Foundation
import Tensors
import TestSupport
import Testing

@Suite struct ImageFileTests {
    private let folder = "\(Fixtures.folder)/scoring"

    /// Checksums of the pixels that Pillow decodes.
    @Test(arguments: [("colour.jpg", 1_484_525_448), ("grey-progressive.jpg", 753_751_578)] as [(String, UInt32)])
    func jpegDecodesAsInPillow(_ name: String, _ checksum: UInt32) throws {
        let image = try Image(path: "\(folder)/\(name)")
        #expect(image.width == 17 && image.height == 13)
        #expect(crc32(image.pixels) == checksum)
    }

    @Test func formatIsDetectedFromContent() throws {
        let other = try TemporaryFolder()
        let image = Image(width: 2, height: 1, pixels: [1, 2, 3, 4, 5, 6])
        try image.write(to: other.file("image.jpg"))
        #expect(try Image(path: other.file("image.jpg")) == image)
    }

    @Test func corruptFilesAreReportedWithTheirPath() throws {
        let other = try TemporaryFolder()
        let whole = try Data(contentsOf: URL(filePath: "\(folder)/colour.jpg"))
        for (name, bytes) in [("short", whole.prefix(whole.count / 2)), ("marker", whole.prefix(2)), ("empty", Data())]
        {
            try bytes.write(to: URL(filePath: other.file(name)))
            #expect(complaint { try Image(path: other.file(name)) }.isOneLine(naming: other.file(name)))
        }
        #expect(complaint { try Image(path: other.file("none")) }.isOneLine(naming: "no such file"))
        #expect(complaint { try Image(path: "\(folder)/cmyk.jpg") }.isOneLine(naming: "neither grey nor RGB"))
    }

    @Test func corruptJPEGsDoNotCrash() throws {
        let whole = Array(try Data(contentsOf: URL(filePath: "\(folder)/colour.jpg")))
        var rejected = 0
        for position in stride(from: 0, to: whole.count, by: 3) {
            var bytes = whole
            bytes[position] ^= 0x5A
            if (try? Image(jpeg: bytes)) == nil { rejected += 1 }
        }
        #expect(rejected > 0)
    }
}
