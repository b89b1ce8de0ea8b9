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

    /// Files of many kinds and the pixels that Pillow decodes, written by `scripts/fixtures/make_image_files.py`.
    @Test func filesDecodeAsInPillow() throws {
        let folder = "\(Fixtures.folder)/images"
        let data = try Data(contentsOf: URL(filePath: "\(folder)/files.json"))
        let files = try JSONDecoder().decode([String: UInt32?].self, from: data)
        #expect(files.count > 20 && files.values.contains(nil))
        for (name, checksum) in files {
            #expect((try? Image(path: "\(folder)/\(name)")).map { crc32($0.pixels) } == checksum, "\(name)")
        }
    }

    /// Copies of JPEG files with changed, inserted or missing bytes.
    private struct Damage: Decodable {
        let file: String
        let position, removed: Int
        let inserted: String
        let checksum: UInt32?

        init(from decoder: any Decoder) throws {
            var values = try decoder.unkeyedContainer()
            file = try values.decode(String.self)
            position = try values.decode(Int.self)
            removed = try values.decode(Int.self)
            inserted = try values.decode(String.self)
            checksum = try values.decodeIfPresent(UInt32.self)
        }
    }

    @Test func damagedJPEGsDecodeAsInPillow() throws {
        let folder = "\(Fixtures.folder)/images"
        let data = try Data(contentsOf: URL(filePath: "\(folder)/damaged.json"))
        let samples = try JSONDecoder().decode([Damage].self, from: data)
        #expect(samples.count == 450)
        let copy = try TemporaryFolder()
        for sample in samples {
            var bytes = Array(try Data(contentsOf: URL(filePath: "\(folder)/\(sample.file)")))
            let inserted = stride(from: 0, to: sample.inserted.count, by: 2).compactMap { offset in
                UInt8(sample.inserted.dropFirst(offset).prefix(2), radix: 16)
            }
            bytes.replaceSubrange(
                sample.position..<min(sample.position + sample.removed, bytes.count), with: inserted)
            try Data(bytes).write(to: URL(filePath: copy.file("image.jpg")))
            let found = (try? Image(path: copy.file("image.jpg"))).map { crc32($0.pixels) }
            #expect((found == nil) == (sample.checksum == nil), "\(sample)")
            // Versions of libjpeg-turbo smooth progressive files with a damaged scan differently.
            if sample.file != "progressive.jpg" { #expect(found == sample.checksum, "\(sample)") }
        }
    }

    @Test(arguments: [
        ("", "empty"), ("RIFF....WEBPVP8 ", "WebP"), ("GIF89a", "GIF"), ("BM", "BMP"), ("text", "not an image"),
    ])
    func otherFormatsAreNamed(content: String, name: String) throws {
        let other = try TemporaryFolder()
        let file = try other.write(content, to: "image.png")
        #expect(complaint { try Image(path: file) }.isOneLine(naming: file, name, "expected PNG or JPEG"))
        #expect(complaint { try Image(path: other.path) }.isOneLine(naming: other.path, "is a directory"))
    }

    @Test func greyscaleOf16BitsIsRejected() throws {
        let header: [UInt8] = [
            0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1,
            16, 0,
            0, 0, 0, 0x6A, 0xEE, 0x47, 0x16, 0, 0, 0, 0, 0x49, 0x44, 0x41, 0x54, 0x35, 0xAF, 0x06, 0x1E,
        ]
        #expect(complaint { try Image(png: header) }.isOneLine(naming: "16-bit greyscale"))
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

    @Test func gitLFSPointerIsReportedWithTheRemedy() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n", to: "a.png")
        #expect(complaint { try Image(path: path) }.isOneLine(naming: path, "Git LFS pointer", "git lfs pull"))
    }
}
