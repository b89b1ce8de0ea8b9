import Foundation
import Testing

@testable import History

@Suite struct NetworkFileSystemTests {
    static let mounts = """
        21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
        30 21 0:30 / /home rw shared:9 - nfs4 server:/home rw,vers=4.2
        31 30 0:31 / /home/local rw - xfs /dev/sdb rw
        32 21 0:32 / /mnt/my\\040disk rw - fuse.sshfs user@host:/ rw
        33 21 0:33 / /scratch rw master:3 propagate_from:2 - lustre mgs@tcp:/scratch rw
        34 21 0:34 / /over rw - cifs //server/share rw
        35 34 0:35 / /over rw - tmpfs tmpfs rw
        36 21 0:36 / /containers rw - fuse.fuse-overlayfs fuse-overlayfs rw
        """

    @Test(
        arguments: [
            ("/home/user/run", "NFS"), ("/home", "NFS"), ("/home/local/run", nil), ("/homes/run", nil), ("/", nil),
            ("/mnt/my disk/run", "sshfs"), ("/scratch/run", "Lustre"), ("/over/run", nil), ("/containers/run", nil),
        ] as [(String, String?)])
    func theInnermostMountDecides(path: String, kind: String?) {
        #expect(NetworkFileSystem.kind(of: path, mounts: Self.mounts) == kind)
    }

    @Test func theTemporaryFolderOfThisHostIsFoundInItsMounts() throws {
        let mounts = try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
        #expect(mounts.contains(" / / "))
        #expect(NetworkFileSystem.kind(at: "/proc/self/no such file") == nil)
    }
}

@Suite struct CoordinatorLockTests {
    @Test func aChildProcessDoesNotInheritTheLock() throws {
        let folder = try TemporaryFolder()
        let lock = try CoordinatorLock(folder: folder.path)
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/sleep")
        child.arguments = ["10"]
        try child.run()
        // SIGTERM may be blocked in the test process, and a child inherits that.
        defer { kill(child.processIdentifier, SIGKILL) }
        #expect(throws: HistoryError.self) { try CoordinatorLock(folder: folder.path) }
        lock.release()
        lock.release()
        _ = try CoordinatorLock(folder: folder.path)
    }

    @Test func theLockEndsWithItsOwner() throws {
        let folder = try TemporaryFolder()
        do {
            let lock = try CoordinatorLock(folder: folder.path)
            withExtendedLifetime(lock) {}
        }
        _ = try CoordinatorLock(folder: folder.path)
    }
}

@Suite struct HistoryErrorTests {
    static let all: [HistoryError] = [
        .missing(file: "F"), .alreadyExists(file: "F"), .notAHistory(file: "F", found: "x"),
        .newerSchema(file: "F", found: 3, supported: 1), .olderSchema(file: "F", found: 1, supported: 3),
        .locked(folder: "F", holder: "pid 1 on h"), .diskFull(file: "F"), .notWritable(file: "F", reason: "x"),
        .notReadable(file: "F", reason: "x"), .networkFileSystem(folder: "F", kind: "NFS"),
        .corrupt(file: "F", reason: "x"), .busy(file: "F"), .sqlite(file: "F", reason: "x"),
    ]

    @Test(arguments: all) func everyMessageIsOneLineThatNamesTheFile(error: HistoryError) {
        #expect(error.description.contains("\n") == false)
        #expect(error.description.contains("F"))
    }
}
