import Foundation
import Glibc
import TestSupport
import Testing

@testable import Transport

@Suite struct KeyFolderTests {
    private let folder: TemporaryFolder
    private let keys: KeyFolder

    init() throws {
        folder = try TemporaryFolder()
        keys = try KeyFolder.create(folder.path + "/keys")
    }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        stat(path, &status)
        return status.st_mode & 0o777
    }

    @Test func keyFilesAreReadableByTheirOwnerOnly() throws {
        #expect(mode(keys.path) == 0o700)
        #expect(mode(keys.path + "/coordinator.key") == 0o600)
        let file = WorkerKeyFile(
            name: "node-7", keys: try KeyPair.generate(), coordinator: try keys.coordinatorKeys().publicKey)
        let path = folder.path + "/node-7.key"
        try file.write(to: path)
        #expect(mode(path) == 0o600)
        let read = try WorkerKeyFile(path: path)
        #expect(read.name == "node-7" && read.keys.publicKey == file.keys.publicKey)
        #expect(read.keys.secret == file.keys.secret && read.coordinator == file.coordinator)
        #expect(throws: TransportError.self) { try file.write(to: path) }
    }

    @Test(arguments: [mode_t(0o644), 0o640, 0o620])
    func keyFileReadableByOthersIsRejected(_ mode: mode_t) throws {
        chmod(keys.path + "/coordinator.key", mode)
        let error = #expect(throws: TransportError.self) { try keys.coordinatorKeys() }
        #expect(error?.description.contains("coordinator.key") == true)
        #expect(error?.description.contains("chmod 600") == true)
    }

    @Test func folderAccessibleToOthersIsRejected() throws {
        chmod(keys.path, 0o755)
        #expect(throws: TransportError.self) { try KeyFolder.open(keys.path) }
        #expect(throws: TransportError.self) { try KeyFolder.create(keys.path) }
    }

    @Test func creatingTheFolderTwiceKeepsTheCoordinatorKey() throws {
        let key = try keys.coordinatorKeys().publicKey
        #expect(try KeyFolder.create(keys.path).coordinatorKeys().publicKey == key)
    }

    @Test func workersCanBeAuthorizedRevokedAndAuthorizedAgain() throws {
        let (a, b) = (try KeyPair.generate().publicKey, try KeyPair.generate().publicKey)
        try keys.authorize("a", key: a)
        try keys.authorize("b", key: b)
        try keys.revoke("a")
        #expect(try keys.entries().map(\.name) == ["a", "b"])
        #expect(try keys.entries().map(\.isRevoked) == [true, false])
        try keys.authorize("a", key: nil)
        #expect(try keys.entries().map(\.isRevoked) == [false, false])
        #expect(try keys.entries().map(\.key) == [a, b])
        // A name has one key, and a key has one name.
        #expect(throws: TransportError.self) { try keys.authorize("a", key: KeyPair.generate().publicKey) }
        #expect(throws: TransportError.self) { try keys.authorize("c", key: a) }
        #expect(throws: TransportError.self) { try keys.authorize("unknown", key: nil) }
        #expect(throws: TransportError.self) { try keys.revoke("unknown") }
    }

    @Test(arguments: [
        "", ".hidden", "-dash", "with space", "a/b", "line\nbreak", "ä", String(repeating: "x", count: 65),
        "local-1",
    ])
    func invalidNamesAreRejected(_ name: String) throws {
        #expect(throws: TransportError.self) { try keys.authorize(name, key: KeyPair.generate().publicKey) }
        #expect(try keys.entries().isEmpty)
    }

    @Test func unreadableListBlocksNewConnectionsOnly() throws {
        let key = try KeyPair.generate().publicKey
        try keys.authorize("a", key: key)
        let register = try KeyRegister(keys)
        #expect(register.acceptsConnection(from: key))
        let handle = try #require(FileHandle(forWritingAtPath: keys.workersPath))
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: Data("nonsense\n".utf8))
        #expect(throws: TransportError.self) { try register.refresh() }
        #expect(!register.acceptsConnection(from: key))
        #expect(register.status(of: key) == .authorized(name: "a"), "connected workers stay authorized")
        try handle.truncate(atOffset: 0)
        #expect(try register.refresh())
        #expect(register.status(of: key) == .unknown)
    }

    @Test func concurrentChangesLoseNoUpdate() async throws {
        let keys = keys
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<12 {
                group.addTask { try keys.authorize("w-\(number)", key: try KeyPair.generate().publicKey) }
            }
            try await group.waitForAll()
        }
        #expect(try keys.entries().count == 12)
    }

    @Test func damagedKeyFilesAreReportedWithTheirPath() throws {
        let path = folder.path + "/bad.key"
        for text in ["", "name = x", "secret = zz\npublic = yy\ncoordinator = 1", "no equals sign"] {
            unlink(path)
            try PrivateFile.write(text, to: path, replacing: false)
            let error = #expect(throws: TransportError.self) { try WorkerKeyFile(path: path) }
            #expect(error?.description.hasPrefix(path) == true)
        }
    }

    @Test func keysAreParsedFromHexadecimal() throws {
        let key = try KeyPair.generate().publicKey
        #expect(PublicKey(hexadecimal: key.description) == key)
        #expect(PublicKey(hexadecimal: key.description.uppercased()) == key)
        #expect(PublicKey(hexadecimal: key.description.dropLast()) == nil)
        #expect(PublicKey(hexadecimal: String(repeating: "g", count: 64)) == nil)
    }
}
