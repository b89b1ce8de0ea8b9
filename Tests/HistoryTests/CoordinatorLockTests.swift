import Foundation
import TestSupport
import Testing

@testable import History

@Suite struct CoordinatorLockTests {
    @Test func childProcessDoesNotInheritTheLock() throws {
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

    @Test func lockIsReleasedWithItsOwner() throws {
        let folder = try TemporaryFolder()
        do {
            let lock = try CoordinatorLock(folder: folder.path)
            withExtendedLifetime(lock) {}
        }
        _ = try CoordinatorLock(folder: folder.path)
    }

    @Test func holderIsNamedWhileItHoldsTheLock() throws {
        let folder = try TemporaryFolder()
        #expect(CoordinatorLock.holder(in: folder.path) == nil)
        let lock = try CoordinatorLock(folder: folder.path)
        #expect(CoordinatorLock.holder(in: folder.path)?.hasPrefix("pid \(getpid()) on ") == true)
        lock.release()
        #expect(CoordinatorLock.holder(in: folder.path) == nil)
    }
}
