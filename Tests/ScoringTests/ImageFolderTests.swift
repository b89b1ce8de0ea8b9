import Foundation
import Scoring
import TestSupport
import Testing

@Suite struct ImageFolderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func imagesAreInNaturalOrder() throws {
        for name in ["b.png", "B.JPG", "img_10.png", "img_2.jpeg", "notes.txt", "._b.png", "a.webp"] {
            _ = try folder.write("", to: name)
        }
        try FileManager.default.createDirectory(atPath: folder.file("c.png"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: folder.file("link.png"), withDestinationPath: "b.png")
        let found = try ImageFolder(path: folder.path)
        #expect(found.names == ["B.JPG", "a.webp", "b.png", "img_2.jpeg", "img_10.png", "link.png"])
        #expect(found.subdirectoryCount == 1)
    }

    @Test func directoryWithoutImagesIsAnError() throws {
        let notes = try folder.write("", to: "notes.txt")
        #expect(throws: ScoringError.noImages(folder: folder.path, subdirectories: 0)) {
            try ImageFolder(path: folder.path)
        }
        #expect(complaint { try ImageFolder(path: "/nowhere") }.isOneLine(naming: "/nowhere", "no such directory"))
        #expect(complaint { try ImageFolder(path: notes) }.isOneLine(naming: notes, "is a file"))
    }
}
