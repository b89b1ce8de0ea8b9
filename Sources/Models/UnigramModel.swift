/// A unigram language model over pieces of text (arXiv 1804.10959).
///
/// Cuts and ties are those of the `tokenizers` library, so that ids equal its.
struct UnigramModel: Sendable {
    /// A piece of text and its log-probability.
    struct Piece: Sendable, Equatable {
        let text: [UInt8]
        let score: Double
    }

    /// Below the least probable piece by so much, a character is unknown.
    private static let unknownPenalty = 10.0

    private let scores: [Double]
    private let unknownID: Int32
    private let unknownScore: Double
    /// The node that a byte leads to from a node, under `node << 8 | byte`; node 0 is the root.
    private var children: [Int: Int32] = [:]
    /// The piece that ends at a node, -1 if none does.
    private var pieceOfNode: [Int32] = [-1]

    /// A model of pieces, numbered in order.
    init(_ pieces: [Piece], unknownID: Int32) {
        scores = pieces.map(\.score)
        self.unknownID = unknownID
        unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
        for (id, piece) in pieces.enumerated() {
            var node: Int32 = 0
            for byte in piece.text {
                let key = Int(node) << 8 | Int(byte)
                if let child = children[key] {
                    node = child
                } else {
                    node = Int32(pieceOfNode.count)
                    children[key] = node
                    pieceOfNode.append(-1)
                }
            }
            pieceOfNode[Int(node)] = Int32(id)
        }
    }

    /// The number of a piece.
    func id(of text: some Sequence<UInt8>) -> Int32? {
        var node: Int32 = 0
        for byte in text {
            guard let child = children[Int(node) << 8 | Int(byte)] else { return nil }
            node = child
        }
        let id = pieceOfNode[Int(node)]
        return id < 0 ? nil : id
    }

    /// The pieces of a text that are the most probable together; a run of unknown characters is one unknown piece.
    ///
    /// - Parameter text: UTF-8.
    /// - Returns: Numbers of pieces.
    func encode(_ text: [UInt8]) -> [Int32] {
        var best = [Ending?](repeating: nil, count: text.count + 1)
        best[0] = Ending(score: 0, start: 0, id: unknownID)
        var start = 0
        while start < text.count {
            let length = Self.characterLength(text[start])
            let score = best[start]?.score ?? 0
            var hasCharacter = false
            var node: Int32 = 0
            for position in start..<text.count {
                guard let child = children[Int(node) << 8 | Int(text[position])] else { break }
                node = child
                let id = pieceOfNode[Int(node)]
                guard id >= 0 else { continue }
                improve(&best[position + 1], Ending(score: score + scores[Int(id)], start: start, id: id))
                if position + 1 - start == length { hasCharacter = true }
            }
            let end = min(start + length, text.count)
            if !hasCharacter { improve(&best[end], Ending(score: score + unknownScore, start: start, id: unknownID)) }
            start = end
        }
        return path(best, text)
    }

    /// The best segmentation of the text up to some position, by its last piece.
    private struct Ending {
        let score: Double
        let start: Int
        let id: Int32
    }

    private func improve(_ best: inout Ending?, _ candidate: Ending) {
        if candidate.score > best?.score ?? -.infinity || best == nil { best = candidate }
    }

    private func path(_ best: [Ending?], _ text: [UInt8]) -> [Int32] {
        var ids: [Int32] = []
        var end = text.count
        var unknownEnd: Int?
        func flush() {
            guard let last = unknownEnd else { return }
            ids.append(id(of: text[end..<last]) ?? unknownID)
            unknownEnd = nil
        }
        while end > 0, let ending = best[end] {
            if ending.id == unknownID {
                unknownEnd = unknownEnd ?? end
            } else {
                flush()
                ids.append(ending.id)
            }
            end = ending.start
        }
        flush()
        return ids.reversed()
    }

    /// The bytes of the character that begins with this one.
    private static func characterLength(_ lead: UInt8) -> Int {
        switch lead {
        case ..<0xC0: 1
        case ..<0xE0: 2
        case ..<0xF0: 3
        default: 4
        }
    }
}
