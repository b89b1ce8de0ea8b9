import Basics
import Foundation

/// A SentencePiece model file: the protocol buffer `ModelProto` (https://github.com/google/sentencepiece).
struct SentencePieceModel {
    /// The type of a piece.
    enum Kind: Equatable {
        case normal, unknown
        /// Control symbols and user-defined symbols.
        case special
    }

    /// An entry of the vocabulary.
    struct Piece {
        var text = ""
        var score: Float = 0
        var kind = Kind.normal
    }

    /// The vocabulary; a piece's index is its id.
    private(set) var pieces: [Piece] = []
    /// The normalisation rules, if any.
    private(set) var characterMap: CharacterMap?

    /// Reads a model.
    ///
    /// - Throws: `FileError`, ``ModelsError/tokenizer(path:reason:)``.
    init(path: String) throws {
        func fault(_ reason: String) -> ModelsError {
            .tokenizer(path: path, reason: "not a SentencePiece model for T5: \(reason)")
        }
        let data = try FileContents.read(path)
        var trainer: ArraySlice<UInt8> = []
        var normalizer: ArraySlice<UInt8> = []
        var compiled: ArraySlice<UInt8> = []
        var modelType: UInt64 = 1
        do {
            try Self.forEachField(of: data[...]) { field, value in
                switch (field, value) {
                case (1, .bytes(let bytes)): pieces.append(try Self.piece(bytes))
                case (2, .bytes(let bytes)): trainer = bytes
                case (3, .bytes(let bytes)): normalizer = bytes
                default: break
                }
            }
            try Self.forEachField(of: trainer) { field, value in
                if field == 3, case .number(let number) = value { modelType = number }
            }
            try Self.forEachField(of: normalizer) { field, value in
                if field == 2, case .bytes(let bytes) = value { compiled = bytes }
            }
        } catch {
            throw fault("truncated, corrupt or in another format")
        }
        guard !pieces.isEmpty else { throw fault("the vocabulary is empty") }
        guard modelType == 1 else { throw fault("model_type is \(modelType); expected 1 (unigram)") }
        if !compiled.isEmpty {
            guard let map = CharacterMap(Array(compiled)) else { throw fault("precompiled_charsmap is corrupt") }
            characterMap = map
        }
    }

    private static func piece(_ bytes: ArraySlice<UInt8>) throws -> Piece {
        var piece = Piece()
        try forEachField(of: bytes) { field, value in
            switch (field, value) {
            case (1, .bytes(let text)): piece.text = String(decoding: text, as: UTF8.self)
            case (2, .number(let bits)): piece.score = Float(bitPattern: UInt32(truncatingIfNeeded: bits))
            case (3, .number(2)): piece.kind = .unknown
            case (3, .number(3)), (3, .number(4)): piece.kind = .special
            default: break
            }
        }
        return piece
    }

    private static func forEachField(
        of bytes: ArraySlice<UInt8>, _ body: (UInt64, ProtobufReader.Value) throws -> Void
    ) throws {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() { try body(field, value) }
    }
}

/// SentencePiece's normalisation rules, compiled to a double-array trie ("precompiled charsmap").
///
/// Applied as by the `Precompiled` normalizer of the `tokenizers` library: first to grapheme clusters of at most five bytes,
/// then to single scalars. Unlike in SentencePiece, the shortest matching prefix wins.
struct CharacterMap: Sendable {
    private static let maxClusterBytes = 5

    private let units: [UInt32]
    /// Zero-terminated replacements.
    private let replacements: [UInt8]

    /// Parses the compiled form: the trie's size in bytes, the trie, the replacements; nil if it is corrupt.
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

    /// Applies the rules to a text.
    func normalize(_ text: String) -> String {
        var result: [UInt8] = []
        for cluster in text {
            let bytes = cluster.utf8
            if bytes.count <= Self.maxClusterBytes, let replacement = replacement(of: bytes) {
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

    /// The replacement for a text by the rule for its shortest matching prefix.
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

    /// The offset from a unit of the trie to its children.
    private func offset(of unit: UInt32) -> Int {
        Int((unit >> 10) << ((unit & 0x200) >> 6))
    }
}

/// A unigram language model over subword pieces (arXiv 1804.10959).
///
/// Segmentation and ties follow the `tokenizers` library, so that ids are equal.
struct UnigramModel: Sendable {
    /// A piece in UTF-8 and its log-probability.
    struct Piece: Sendable, Equatable {
        let text: [UInt8]
        let score: Double
    }

    /// An unknown character scores this much below the least probable piece.
    private static let unknownPenalty = 10.0

    private let scores: [Double]
    private let unknownID: Int32
    private let unknownScore: Double
    /// The trie: the child of a node for a byte, keyed by `node << 8 | byte`; node 0 is the root.
    private var children: [Int: Int32] = [:]
    /// The piece that ends at a node, or -1.
    private var pieceOfNode: [Int32] = [-1]

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

    /// The id of a piece, if it is in the vocabulary.
    func id(of text: some Sequence<UInt8>) -> Int32? {
        var node: Int32 = 0
        for byte in text {
            guard let child = children[Int(node) << 8 | Int(byte)] else { return nil }
            node = child
        }
        let id = pieceOfNode[Int(node)]
        return id < 0 ? nil : id
    }

    /// The most probable segmentation of a text in UTF-8 (Viterbi), as piece ids; a run of unknown characters becomes one
    /// unknown piece.
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

    /// The last piece of the best segmentation up to a position.
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

    /// The length in bytes of the UTF-8 character with this first byte.
    private static func characterLength(_ lead: UInt8) -> Int {
        switch lead {
        case ..<0xC0: 1
        case ..<0xE0: 2
        case ..<0xF0: 3
        default: 4
        }
    }
}

/// Reads the fields of a protocol buffer one after the other; enough for SentencePiece's model files.
struct ProtobufReader {
    /// The content of a field.
    enum Value {
        /// A varint, or four or eight bytes as they are.
        case number(UInt64)
        /// Text, bytes or a message.
        case bytes(ArraySlice<UInt8>)
    }

    /// The bytes end in the middle of a field, or are no protocol buffer.
    struct Malformed: Error {}

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    /// The next field's number and content; nil at the end.
    mutating func next() throws -> (field: UInt64, value: Value)? {
        guard !rest.isEmpty else { return nil }
        let tag = try varint()
        let value: Value =
            switch tag & 7 {
            case 0: .number(try varint())
            case 1: .number(Self.number(try take(8)))
            case 2: .bytes(try take(try varint()))
            case 5: .number(Self.number(try take(4)))
            default: throw Malformed()
            }
        return (tag >> 3, value)
    }

    private mutating func take(_ count: UInt64) throws -> ArraySlice<UInt8> {
        guard count <= UInt64(rest.count) else { throw Malformed() }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }

    private mutating func varint() throws -> UInt64 {
        var position = rest.startIndex
        guard let value = Varint.decode(rest, at: &position, end: rest.endIndex) else { throw Malformed() }
        rest = rest[position...]
        return value
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
