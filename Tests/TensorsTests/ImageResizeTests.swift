import Foundation
import Tensors
import TestSupport
import Testing

/// Resizing is bit-identical to Pillow.
@Suite struct ImageResizeTests {
    private struct Case: Decodable {
        let from, to: [Int]
        let bytes, floats: UInt32
    }

    private static let cases: [Case] = {
        let data = FileManager.default.contents(atPath: "\(Fixtures.folder)/scoring/pillow.json") ?? Data()
        return (try? JSONDecoder().decode([Case].self, from: data)) ?? []
    }()

    /// The image of `scripts/fixtures/make_pillow.py`.
    private static func image(_ width: Int, _ height: Int, seed: Int) -> Image {
        var state = UInt32(seed)
        let pixels = (0..<(3 * width * height)).map { index -> UInt8 in
            state = state &* 1_103_515_245 &+ 12345
            let value = UInt8(state >> 16 & 255)
            return index / (3 * width) < height / 2 ? (value > 127 ? 255 : 0) : value
        }
        return Image(width: width, height: height, pixels: pixels)
    }

    @Test func pillowChecksumsAreComplete() { #expect(Self.cases.count == 40) }

    @Test(arguments: Self.cases.indices)
    func resizedEqualsPillow(_ number: Int) {
        let row = Self.cases[number]
        let image = Self.image(row.from[0], row.from[1], seed: number)
        let resized = image.resized(width: row.to[0], height: row.to[1])
        #expect(resized.width == row.to[0] && resized.height == row.to[1])
        #expect(crc32(resized.pixels) == row.bytes, "\(row)")
    }

    @Test(arguments: Self.cases.indices)
    func resizedPlanesEqualPillowsModeF(_ number: Int) {
        let row = Self.cases[number]
        let image = Self.image(row.from[0], row.from[1], seed: number)
        let red = image.resizedPlanes(width: row.to[0], height: row.to[1]).channels.rows(0..<1)
        let bytes = red.values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
        #expect(crc32(bytes) == row.floats, "\(row)")
    }

    @Test func reductionKeepsProportionsAndSmallImages() {
        let image = Image(width: 40, height: 10, pixels: (0..<1200).map { UInt8($0 % 251) })
        #expect(image.reduced(toEdge: 20) == image.resized(width: 20, height: 5))
        #expect(image.reduced(toEdge: 40) == image && image.reduced(toEdge: nil) == image)
        let narrow = Image(width: 1, height: 300, pixels: Array(repeating: 7, count: 900)).reduced(toEdge: 100)
        #expect(narrow.width == 1 && narrow.height == 100)
    }

    @Test func croppingSelectsARectangle() {
        let image = Self.image(5, 4, seed: 3)
        let part = image.cropped(x: 1, y: 2, width: 3, height: 2)
        #expect(part.width == 3 && part.height == 2)
        #expect(part.pixels == Array(image.pixels[33..<42]) + Array(image.pixels[48..<57]))
        #expect(image.cropped(x: 0, y: 0, width: 5, height: 4) == image)
    }
}
