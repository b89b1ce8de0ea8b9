import Basics
import Foundation
import Testing

@Suite struct ByteTests {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ])
    func sha256GivesThePublishedDigests(_ text: String, _ digest: String) {
        #expect(SHA256.digest(text.utf8).hexadecimal == digest)
        var hash = SHA256()
        for byte in text.utf8 { hash.update(Data([byte])) }
        #expect(hash.finish().hexadecimal == digest)
    }

    @Test func hexadecimalDigitsOfEitherCaseAreDecoded() {
        let bytes: [UInt8] = [0, 9, 0xAF, 0xFF]
        #expect(bytes.hexadecimal == "0009afff")
        #expect([UInt8](hexadecimal: "0009AFff") == bytes)
        for text in ["0", "0g", "é0", " 00"] { #expect([UInt8](hexadecimal: text) == nil, "\(text)") }
    }

    @Test(arguments: [0, 1, 127, 128, 300, UInt64(Int64.max), .max])
    func varintsSurviveEncoding(_ value: UInt64) {
        var bytes: [UInt8] = [7]
        Varint.append(value, to: &bytes)
        var position = 1
        #expect(Varint.decode(bytes, at: &position, end: bytes.count) == value)
        #expect(position == bytes.count)
        var cut = 1
        #expect(Varint.decode(bytes, at: &cut, end: bytes.count - 1) == nil)
    }

    @Test func endlessVarintsAreRejected() {
        var position = 0
        #expect(Varint.decode([UInt8](repeating: 0x80, count: 20), at: &position, end: 20) == nil)
    }

    /// The values that Vigna's C implementation draws.
    @Test func splitMixDrawsThePublishedSequence() {
        var generator = SplitMix64(seed: 1_234_567)
        let drawn = (0..<3).map { _ in generator.next() }
        #expect(drawn == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
    }
}
