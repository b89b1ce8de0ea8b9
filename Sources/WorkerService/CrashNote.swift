import Foundation
import Glibc
import Synchronization

/// Which task the process worked on when it died of a signal of its own making, for the process that comes after.
///
/// A crash (a segmentation fault, a trap) may be the task's fault, and is reported as such; a kill from outside is a
/// loss of the machine, and leaves no mark.
struct CrashNote {
    /// What an earlier process died of.
    struct Crash {
        let run: String
        let task: Int64
        let epoch: Int64
        let signal: Int32
    }

    private let path: String

    /// Notes in a folder.
    init(folder: String) { path = folder + "/task-at-hand" }

    /// Begins to watch for fatal signals, once per process.
    func watch() {
        for signal in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = noteFatalSignal
            // On a stack of its own if there is one, and once: the second time it kills.
            action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND)) | SA_ONSTACK | SA_NODEFER
            sigaction(signal, &action, nil)
        }
    }

    /// Takes what an earlier process left; nil if it did not die of a task.
    func takeCrash() -> Crash? {
        defer { unlink(path) }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 5, fields[3] == "signal", let task = Int64(fields[1]), let epoch = Int64(fields[2]),
            let letter = fields[4].utf8.first, letter >= UInt8(ascii: "A")
        else { return nil }
        return Crash(run: String(fields[0]), task: task, epoch: epoch, signal: Int32(letter - UInt8(ascii: "A")))
    }

    /// Notes that a task is begun.
    func begin(run: String, task: Int64, epoch: Int64) {
        end()
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0o600)
        guard file >= 0 else { return }
        let text = Array("\(run) \(task) \(epoch) ".utf8)
        _ = write(file, text, text.count)
        crashDescriptor.store(file, ordering: .sequentiallyConsistent)
    }

    /// Notes that the task is over.
    func end() {
        let file = crashDescriptor.exchange(-1, ordering: .sequentiallyConsistent)
        if file >= 0 { close(file) }
        unlink(path)
    }
}

/// What the handler can reach: process-wide, and atomic.
private let crashDescriptor = Atomic<Int32>(-1)

/// Writes "signal" and the number as a letter: nothing here allocates or locks.
private func noteFatalSignal(_ number: Int32) {
    let file = crashDescriptor.load(ordering: .sequentiallyConsistent)
    if file >= 0 {
        var text: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (
            0x73, 0x69, 0x67, 0x6E, 0x61, 0x6C, 0x20, UInt8(ascii: "A") &+ UInt8(truncatingIfNeeded: number)
        )
        _ = write(file, &text, 8)
    }
    raise(number)
}
