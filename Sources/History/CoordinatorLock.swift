import Foundation
import Synchronization

/// The exclusive hold of one coordinator on a run folder: an advisory lock on the file `coordinator.lock`.
///
/// The kernel drops the lock when the process ends, however it ends, so that a crash leaves nothing to clean up; the
/// file stays, and its text (process and host) only serves the message that a second coordinator prints.
final class CoordinatorLock: Sendable {
    static let fileName = "coordinator.lock"

    private let descriptor: Mutex<Int32?>

    /// Takes the lock of a run folder.
    ///
    /// - Parameter folder: The run folder, which exists.
    /// - Throws: `HistoryError.locked` while another coordinator holds it, `.notWritable` without write access.
    init(folder: String) throws {
        let path = folder + "/" + Self.fileName
        // Workers started by the coordinator must not inherit the descriptor: they would keep the lock after its death.
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw HistoryError.notWritable(file: path, reason: String(cString: strerror(errno))) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let holder = Self.text(of: file)
            close(file)
            guard code == EWOULDBLOCK else {
                throw HistoryError.notWritable(file: path, reason: String(cString: strerror(code)))
            }
            throw HistoryError.locked(folder: folder, holder: holder.isEmpty ? "process unknown" : holder)
        }
        let holder = Array("pid \(getpid()) on \(Self.hostName())\n".utf8)
        // The text is a courtesy: the lock itself holds even if a full disk keeps it from being written.
        _ = ftruncate(file, 0)
        _ = pwrite(file, holder, holder.count, 0)
        descriptor = Mutex(file)
    }

    deinit { release() }

    /// Gives the lock up; does nothing the second time.
    func release() {
        descriptor.withLock { file in
            if let file { close(file) }
            file = nil
        }
    }

    /// The kernel's name of this host; Foundation's would ask the network, which can take seconds.
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
