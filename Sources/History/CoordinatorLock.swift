import Foundation
import Synchronization

/// One coordinator's exclusive access to a run directory: an advisory lock on the file `coordinator.lock`.
///
/// The kernel releases the lock when the process ends for any reason, so that a crash leaves nothing to clean up. The
/// file stays; its content (process and host) is for the error message of a second coordinator.
final class CoordinatorLock: Sendable {
    static let fileName = "coordinator.lock"

    private let descriptor: Mutex<Int32?>

    /// Throws `HistoryError.locked` while another coordinator has the lock, `.notWritable` without write permission.
    init(folder: String) throws {
        let path = folder + "/" + Self.fileName
        // O_CLOEXEC: a worker started by the coordinator would otherwise inherit the lock and outlive it.
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw HistoryError.notWritable(file: path, reason: String(cString: strerror(errno))) }
        guard Self.lock(file) else {
            let code = errno
            let holder = Self.text(of: file)
            close(file)
            guard code == EWOULDBLOCK else {
                throw HistoryError.notWritable(file: path, reason: String(cString: strerror(code)))
            }
            throw HistoryError.locked(folder: folder, holder: holder.isEmpty ? "unknown process" : holder)
        }
        let holder = Array("pid \(getpid()) on \(Self.hostName())\n".utf8)
        // Errors are ignored: the lock does not depend on the content.
        _ = ftruncate(file, 0)
        _ = pwrite(file, holder, holder.count, 0)
        descriptor = Mutex(file)
    }

    deinit { release() }

    /// Which process has the lock of a run directory; nil if none has it.
    ///
    /// - Parameter folder: The run directory; it may be read-only.
    /// - Returns: Such as "pid 812 on head".
    static func holder(in folder: String) -> String? {
        let file = open(folder + "/" + fileName, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        // A shared lock, for an instant; a coordinator that starts meanwhile tries again.
        guard flock(file, LOCK_SH | LOCK_NB) != 0, errno == EWOULDBLOCK else { return nil }
        let holder = text(of: file)
        return holder.isEmpty ? "unknown process" : holder
    }

    /// Locks the file; tries again for a moment, since ``holder(in:)`` may hold a shared lock.
    private static func lock(_ file: Int32) -> Bool {
        for _ in 0..<10 {
            if flock(file, LOCK_EX | LOCK_NB) == 0 { return true }
            guard errno == EWOULDBLOCK else { return false }
            usleep(10_000)
        }
        errno = EWOULDBLOCK
        return false
    }

    /// Has no effect the second time.
    func release() {
        descriptor.withLock { file in
            if let file { close(file) }
            file = nil
        }
    }

    /// The kernel's host name; Foundation's `hostName` asks the network, which can take seconds.
    private static func hostName() -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "an unknown host" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func text(of file: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = pread(file, &bytes, bytes.count, 0)
        let text = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
