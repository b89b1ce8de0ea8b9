import Foundation
import Glibc
import Synchronization

/// A file that names the current task, so that the next process can report a task that crashed this one.
///
/// A signal raised by the process itself (a segmentation fault, a trap) can be caused by the task and is reported; a
/// kill from outside is not.
struct CrashMarker {
    /// The crash of an earlier process.
    struct Crash {
        let run: String
        let task: Int64
        let epoch: Int64
        let signal: Int32
    }

    private let path: String

    init(folder: String) { path = folder + "/task-at-hand" }

    /// Installs handlers for fatal signals; call it once per process.
    func installSignalHandlers() {
        for signal in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = recordFatalSignal
            // On the alternate stack if there is one; the default action applies to the second signal.
            action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND)) | SA_ONSTACK | SA_NODEFER
            sigaction(signal, &action, nil)
        }
    }

    /// Returns the crash of an earlier process and removes its marker; nil if none was recorded.
    func takeCrash() -> Crash? {
        defer { unlink(path) }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 5, fields[3] == "signal", let task = Int64(fields[1]), let epoch = Int64(fields[2]),
            let letter = fields[4].utf8.first, letter >= UInt8(ascii: "A")
        else { return nil }
        return Crash(run: String(fields[0]), task: task, epoch: epoch, signal: Int32(letter - UInt8(ascii: "A")))
    }

    /// Writes the marker of a task that starts.
    func set(run: String, task: Int64, epoch: Int64) {
        clear()
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0o600)
        guard file >= 0 else { return }
        let text = Array("\(run) \(task) \(epoch) ".utf8)
        _ = write(file, text, text.count)
        markerDescriptor.store(file, ordering: .sequentiallyConsistent)
    }

    /// Removes the marker of a task that has ended.
    func clear() {
        let file = markerDescriptor.exchange(-1, ordering: .sequentiallyConsistent)
        if file >= 0 { close(file) }
        unlink(path)
    }
}

/// Process-wide, because a signal handler has no context; atomic, because it interrupts any thread.
private let markerDescriptor = Atomic<Int32>(-1)

/// Appends "signal" and the number as a letter from A; async-signal-safe: neither allocates nor locks.
private func recordFatalSignal(_ number: Int32) {
    let file = markerDescriptor.load(ordering: .sequentiallyConsistent)
    if file >= 0 {
        var text: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (
            0x73, 0x69, 0x67, 0x6E, 0x61, 0x6C, 0x20, UInt8(ascii: "A") &+ UInt8(truncatingIfNeeded: number)
        )
        _ = write(file, &text, 8)
    }
    raise(number)
}
