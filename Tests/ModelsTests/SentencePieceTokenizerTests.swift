import Models
import TestSupport
import Testing

@Suite struct SentencePieceTokenizerTests {
    private static let file = "tokenizer/spiece.model"

    private func open(_ model: ModelCopy) -> Complaint {
        complaint { try SentencePieceTokenizer(folder: model.file("tokenizer")) }
    }

    @Test func textsEndWithTheEndTokenAndPadding() throws {
        let model = try ModelCopy(of: "alpha-small")
        let tokenizer = try SentencePieceTokenizer(folder: model.file("tokenizer"))
        let text = tokenizer.encode("a red fox", maxLength: 40)
        #expect(text.ids.count == 40 && text.tokenCount > 1 && text.tokenCount < 40)
        #expect(text.ids[text.tokenCount - 1] == 1)
        #expect(text.ids[text.tokenCount...].allSatisfy { $0 == 0 })
        #expect(text.ids[..<(text.tokenCount - 1)].allSatisfy { $0 > 1 && $0 < tokenizer.pieceCount })
    }

    @Test func longTextsAreCutBeforeTheEndToken() throws {
        let model = try ModelCopy(of: "alpha-small")
        let tokenizer = try SentencePieceTokenizer(folder: model.file("tokenizer"))
        let long = tokenizer.encode("a red fox in the snow", maxLength: 100)
        let cut = tokenizer.encode("a red fox in the snow", maxLength: 5)
        #expect(cut.ids == Array(long.ids.prefix(4)) + [1] && cut.tokenCount == 5)
        #expect(tokenizer.encode("", maxLength: 3).ids == [1, 0, 0])
        #expect(tokenizer.encode("a red fox", maxLength: 1).ids == [1])
    }

    /// A ligature and a fraction become more bytes than they were: the first guess of the buffer is too small.
    @Test func textsThatNormalisationLengthensAreWhole() throws {
        let model = try ModelCopy(of: "alpha-small")
        let tokenizer = try SentencePieceTokenizer(folder: model.file("tokenizer"))
        let one = tokenizer.encode("\u{FDFA}", maxLength: 500)
        let ten = tokenizer.encode(String(repeating: "\u{FDFA} ", count: 10), maxLength: 500)
        #expect(one.tokenCount > 5)
        #expect(ten.tokenCount - 1 == 10 * (one.tokenCount - 1))
    }

    @Test func aMissingFileIsNamed() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.remove(Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "not found", "SentencePiece"))
    }

    @Test(arguments: ["", "not a protobuf\n", "{\"model\": {\"vocab\": []}}"])
    func aFileOfSomethingElseIsRefused(_ text: String) throws {
        let model = try ModelCopy(of: "alpha-micro")
        try model.write(text, to: Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "not a SentencePiece model"))
    }

    @Test(arguments: ["alpha-micro", "alpha-small"])
    func aCutFileIsRefused(_ fixture: String) throws {
        let model = try ModelCopy(of: fixture)
        try model.cut(Self.file, toPart: 0.5)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "not a SentencePiece model", "cut"))
    }
}
