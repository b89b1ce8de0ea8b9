import Foundation

/// A SentencePiece model file: a protocol buffer `ModelProto` (https://github.com/google/sentencepiece).
struct SentencePieceModel {
    /// What a piece is for.
    enum Kind: Equatable {
        case normal, unknown
        /// Control symbols and those that a user defined.
        case special
    }

    /// One piece of the vocabulary.
    struct Piece {
        var text = ""
        var score: Float = 0
        var kind = Kind.normal
    }

    /// The vocabulary; a piece's position is its id.
    private(set) var pieces: [Piece] = []
    /// The normalisation rules; nil if there are none.
    private(set) var characterMap: CharacterMap?

    /// Reads a model.
    ///
    /// - Throws: ``ModelsError/tokenizer(path:reason:)``.
    init(path: String) throws {
        func fault(_ reason: String) -> ModelsError {
            .tokenizer(path: path, reason: "not a SentencePiece model for T5: \(reason)")
        }
        guard let data = FileManager.default.contents(atPath: path) else { throw fault("it cannot be read") }
        var trainer: ArraySlice<UInt8> = []
        var normalizer: ArraySlice<UInt8> = []
        var compiled: ArraySlice<UInt8> = []
        var modelType: UInt64 = 1
        do {
            try Self.forEachField(of: Array(data)[...]) { field, value in
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
            throw fault("it is cut, damaged or of another format")
        }
        guard !pieces.isEmpty else { throw fault("it has no pieces") }
        guard modelType == 1 else { throw fault("expected a unigram model, found model_type \(modelType)") }
        if !compiled.isEmpty {
            guard let map = CharacterMap(Array(compiled)) else { throw fault("its precompiled_charsmap is damaged") }
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
