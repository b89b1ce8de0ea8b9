import Foundation
import TestSupport

/// One checksum per text of the token ids that transformers gives for thousands of texts; written by
/// `scripts/fixtures/make_clip_tokens.py` and `make_t5_tokens.py`.
///
/// A text is composed of fragments selected by a linear congruential generator, seeded by the text's number.
struct TokenChecksums {
    /// The length that ids are padded to.
    let maxLength: Int
    private let fragments: [String]
    private let expected: [UInt32]

    /// Reads the checksums of one tokenizer.
    init(path: String, key: String) throws {
        let object = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: path))) as? [String: Any]
        maxLength = object?["max_length"] as? Int ?? 0
        fragments = object?["fragments"] as? [String] ?? []
        let digits = Array((object?[key] as? String ?? "").utf8)
        expected = stride(from: 0, to: digits.count, by: 8).compactMap {
            UInt32(String(decoding: digits[$0..<min($0 + 8, digits.count)], as: UTF8.self), radix: 16)
        }
    }

    /// The number of texts.
    var count: Int { expected.count }

    /// One text.
    func text(_ number: Int) -> String {
        var state = UInt64(number)
        func draw(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var scalars = String.UnicodeScalarView()
        for _ in 0..<(1 + draw(12)) {
            scalars.append(contentsOf: fragments[draw(fragments.count)].unicodeScalars)
            if draw(2) == 1 { scalars.append(" ") }
        }
        return String(scalars)
    }

    /// Whether these are the ids of a text.
    func match(_ ids: [Int64], _ number: Int) -> Bool {
        crc32(ids.map(String.init).joined(separator: " ").utf8) == expected[number]
    }
}
