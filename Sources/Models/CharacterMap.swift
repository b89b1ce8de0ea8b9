/// SentencePiece's normalisation rules, compiled to a double-array trie ("precompiled charsmap").
///
/// Applied as the `tokenizers` library does (its `Precompiled` normalizer): to whole grapheme clusters of at most five bytes first,
/// then to single characters. Of several rules for beginnings of a text the shortest counts, which is not what SentencePiece does.
struct CharacterMap: Sendable {
    private static let longestCluster = 5

    private let units: [UInt32]
    /// Replacements, each ended by a zero.
    private let replacements: [UInt8]

    /// Reads the compiled form: the trie's size in bytes, the trie, the replacements.
    ///
    /// - Returns: Nil if it is damaged.
    init?(_ compiled: [UInt8]) {
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(compiled[offset + $1]) << UInt32(8 * $1) }
        }
        guard compiled.count >= 4 else { return nil }
        let size = Int(word(0))
        guard size % 4 == 0, size > 0, size <= compiled.count - 4 else { return nil }
        units = stride(from: 4, to: 4 + size, by: 4).map(word)
        replacements = Array(compiled[(4 + size)...])
    }

    /// The text with every rule applied.
    func normalize(_ text: String) -> String {
        var result: [UInt8] = []
        for cluster in text {
            let bytes = cluster.utf8
            if bytes.count <= Self.longestCluster, let replacement = replacement(of: bytes) {
                result += replacement
                continue
            }
            for scalar in cluster.unicodeScalars {
                let bytes = UTF8.encode(scalar).map(Array.init) ?? []
                result += replacement(of: bytes) ?? bytes[...]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// What stands for a text by the rule for its shortest beginning that has one.
    private func replacement(of text: some Sequence<UInt8>) -> ArraySlice<UInt8>? {
        var position = offset(of: units[0])
        for byte in text {
            position ^= Int(byte)
            guard byte != 0, position < units.count else { return nil }
            let unit = units[position]
            guard unit & 0x8000_00FF == UInt32(byte) else { return nil }
            position ^= offset(of: unit)
            guard position < units.count else { return nil }
            if (unit >> 8) & 1 == 1 {
                let start = Int(units[position] & 0x7FFF_FFFF)
                guard start <= replacements.count else { return nil }
                return replacements[start...].prefix { $0 != 0 }
            }
        }
        return nil
    }

    /// The distance from a unit of the trie to its children.
    private func offset(of unit: UInt32) -> Int {
        Int((unit >> 10) << ((unit & 0x200) >> 6))
    }
}
