import Foundation
import Prompts
import Scoring
import TestSupport
import Testing

@Suite struct ImageFolderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func images(_ names: String...) throws -> ImageFolder {
        for name in names { _ = try folder.write("", to: name) }
        return try ImageFolder(path: folder.path)
    }

    private func prompts(_ text: String) throws -> PromptSet { try PromptSet(bytes: Array(text.utf8), file: "p") }

    @Test func imagesAreSortedByName() throws {
        let found = try images("b.png", "B.JPG", "a.jpeg", "notes.txt", ".hidden.png")
        #expect(found.names == ["B.JPG", "a.jpeg", "b.png"])
    }

    @Test func directoryWithoutImagesIsAnError() throws {
        _ = try folder.write("", to: "notes.txt")
        #expect(throws: ScoringError.noImages(folder: folder.path)) { try ImageFolder(path: folder.path) }
        #expect(throws: ScoringError.noImages(folder: "/nowhere")) { try ImageFolder(path: "/nowhere") }
    }

    @Test func numericNamesAreIndicesOfPrompts() throws {
        let found = try images("00002.png", "00000.png")
        #expect(try found.pair(with: prompts("zero\none\ntwo\n")) == ["zero", "two"])
        #expect(
            complaint { try found.pair(with: prompts("zero\none\n")) }.isOneLine(naming: "00002.png", "no prompt 2"))
    }

    @Test func identifiersTakePrecedenceOverIndices() throws {
        let found = try images("7.png", "5.png")
        let set = try prompts(#"{"5": {"prompt": "five", "category": "a"}, "7": {"prompt": "seven", "category": "a"}}"#)
        #expect(try found.pair(with: set) == ["five", "seven"])
    }

    @Test func otherNamesArePairedInOrder() throws {
        let found = try images("fox.png", "cat.png")
        #expect(try found.pair(with: prompts("a cat\na fox\n")) == ["a cat", "a fox"])
        #expect(complaint { try found.pair(with: prompts("one\n")) }.isOneLine(naming: "2 images", "1 prompts"))
    }
}
