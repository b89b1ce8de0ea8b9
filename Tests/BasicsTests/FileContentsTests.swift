import Basics
import Foundation
import TestSupport
import Testing

@Suite struct FileContentsTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }
    }

    @Test func writingReplacesTheWholeFile() throws {
        let path = folder.file("a")
        try FileContents.write("a long text", to: path)
        try FileContents.write([[1, 2], [], [3]], to: path)
        #expect(try FileContents.read(path) == [1, 2, 3])
        #expect(try names == ["a"])
    }

    @Test func existingFileIsKeptUnlessReplacementIsAllowed() throws {
        let path = folder.file("a")
        try FileContents.write([[1]], to: path, mode: 0o600, replacing: false)
        let error = #expect(throws: FileError.self) { try FileContents.write([[2]], to: path, replacing: false) }
        #expect(error?.description == "\(path): cannot be written: file exists")
        #expect(try FileContents.read(path) == [1])
        #expect(try names == ["a"])
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test func filesOfTheKernelAreReadWhole() throws {
        // A table of this process, of more than a page.
        let table = try FileContents.readText("/proc/self/smaps", expected: "mappings")
        #expect(table.utf8.count > 65_536)
        #expect(table.split(separator: "\n").last?.hasPrefix("VmFlags:") == true)
    }

    @Test func errorsNameTheFileAndTheReason() {
        let absent = folder.file("none/a")
        let expected = FileError(path: absent, problem: "cannot be read: no such file or directory")
        #expect(throws: expected) { try FileContents.read(absent) }
        #expect(throws: FileError(path: absent, problem: "cannot be written: no such file or directory")) {
            try FileContents.write("", to: absent)
        }
    }

    @Test func threadsThatWriteOneFileLeaveOneOfTheirContents() async throws {
        let path = folder.file("a")
        let contents = (0..<16).map { [UInt8](repeating: UInt8($0), count: 100_000) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for content in contents {
                group.addTask { for _ in 0..<4 { try FileContents.write([content], to: path) } }
            }
            try await group.waitForAll()
        }
        #expect(contents.contains(try FileContents.read(path)))
        #expect(try names == ["a"])
    }

    @Test func aFailedWriteLeavesNoPartialFile() throws {
        // A directory cannot be replaced by a file, so the rename fails after the content was written.
        try FileManager.default.createDirectory(atPath: folder.file("d"), withIntermediateDirectories: false)
        #expect(throws: FileError.self) { try FileContents.write("x", to: folder.file("d")) }
        #expect(try names == ["d"])
    }
}
