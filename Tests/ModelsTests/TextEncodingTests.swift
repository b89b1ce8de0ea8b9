import ModelConfiguration
import Tensors
import TestSupport
import Testing

@testable import Models

@Suite struct TextEncodingTests {
    @Test func paddingIsNotEmbedded() throws {
        let model = try ModelCopy(of: "alpha-small")
        let text = try TextEncoding(model: ModelFolder(path: model.path))
        let whole = try text.embed("a red fox in the snow").text
        #expect(whole.columns == 24 && whole.rows > 5 && whole.rows < 120)
        #expect(try text.embed("a red fox in the snow", maxLength: 5).text.rows == 5)
        #expect(try text.embed("").text.rows == 1)
        #expect(try text.embed("  A Red FOX in the snow\u{1C}\n").text.values == whole.values)
    }

    @Test func tokenizerMustFitTextEncoder() throws {
        let model = try ModelCopy(of: "alpha-small")
        let pieces = try SentencePieceModel(path: model.file("tokenizer/spiece.model")).pieces.count
        let vocabulary = pieces - 1
        try model.set("vocab_size", to: "\(vocabulary)", in: "text_encoder/config.json")
        try model.edit("text_encoder/model.safetensors") { content in
            guard var embedding = content.tensors["shared.weight"] else { return }
            embedding.bytes = embedding.bytes.prefix(embedding.bytes.count / embedding.shape[0] * vocabulary)
            embedding.shape[0] = vocabulary
            content.tensors["shared.weight"] = embedding
        }
        let line = complaint { try TextEncoding(model: ModelFolder(path: model.path)) }
        #expect(
            line.isOneLine(naming: model.file("tokenizer/spiece.model"), "\(pieces) pieces", "at most \(vocabulary)"))
    }

    /// Expected values are those of `text.lower().strip()` in Python 3.12.
    @Test(arguments: [
        ("  A\u{A0}", "a"), ("\u{1C}\u{1D}x\u{1E}\u{1F}\u{85}", "x"), ("\u{200B}x", "\u{200B}x"),
        ("ΟΔΟΣ ΣΑΣ", "οδος σας"),
        ("Σ", "σ"), ("ΑΣ.Α", "ασ.α"), ("ΑΣ\u{301}", "ας\u{301}"), ("İ", "i\u{307}"), ("STRASSE ẞ", "strasse ß"),
        ("", ""), ("Ǆ", "ǆ"),
    ])
    func promptsAreCleanedAsInPython(_ text: String, _ expected: String) {
        #expect(Array(TextEncoding.cleaned(text).unicodeScalars) == Array(expected.unicodeScalars))
    }
}
