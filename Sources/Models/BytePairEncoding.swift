/// Byte-level byte-pair encoding (arXiv 1508.07909, as in GPT-2) with a marked word end: CLIP's.
struct BytePairEncoding: Sendable {
    private struct Pair: Hashable {
        let first, second: Int32
    }

    private struct Merge {
        let rank: Int
        let result: Int32
    }

    private static let wordEnd = "</w>"

    /// The id of each byte inside a word, and at its end.
    private let byteIDs, finalByteIDs: [Int32]
    private let merges: [Pair: Merge]

    /// Prepares an encoding.
    ///
    /// - Parameters:
    ///   - vocabulary: The id of every token, bytes written in GPT-2's alphabet.
    ///   - merges: The pairs of tokens that become one, the most frequent first; pairs of unknown tokens have no effect.
    ///   - unknownID: The id of bytes that the vocabulary lacks.
    init(vocabulary: [String: Int32], merges: [(String, String)], unknownID: Int32) {
        byteIDs = Self.alphabet.map { vocabulary[String($0)] ?? unknownID }
        finalByteIDs = Self.alphabet.map { vocabulary[String($0) + Self.wordEnd] ?? unknownID }
        var table: [Pair: Merge] = [:]
        for (rank, (first, second)) in merges.enumerated() {
            guard let left = vocabulary[first], let right = vocabulary[second], let result = vocabulary[first + second]
            else { continue }
            let pair = Pair(first: left, second: right)
            if table[pair] == nil { table[pair] = Merge(rank: rank, result: result) }
        }
        self.merges = table
    }

    /// The ids of one word.
    func encode(_ word: String) -> [Int32] {
        var ids = word.utf8.map { byteIDs[Int($0)] }
        guard let last = word.utf8.last else { return [] }
        ids[ids.count - 1] = finalByteIDs[Int(last)]
        while let (position, merge) = bestMerge(in: ids) {
            ids.replaceSubrange(position...(position + 1), with: CollectionOfOne(merge.result))
        }
        return ids
    }

    private func bestMerge(in ids: [Int32]) -> (Int, Merge)? {
        var best: (Int, Merge)?
        for position in ids.indices.dropLast() {
            guard let merge = merges[Pair(first: ids[position], second: ids[position + 1])] else { continue }
            if merge.rank < best?.1.rank ?? .max { best = (position, merge) }
        }
        return best
    }

    /// GPT-2's letter for each byte: itself if printable, else one of those from U+0100 on.
    private static let alphabet: [Unicode.Scalar] = {
        let printable = [0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF].flatMap { Array($0) }
        var next = 0x100
        return (0...0xFF).map { byte in
            if printable.contains(byte) { return Unicode.Scalar(UInt8(byte)) }
            defer { next += 1 }
            return Unicode.Scalar(UInt16(next)) ?? " "
        }
    }()
}
