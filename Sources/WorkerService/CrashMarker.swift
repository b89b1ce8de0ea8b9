import Foundation
import Glibc
import Synchronization

/// A file that names the current task, so that the next process can report a task that crashed this one.
///
/// A signal raised by the process itself (a segmentation fault, a trap) can be caused by the task and is reported to the
/// coordinator. The machine is the cause of a bus error (a mapped file was truncated or its storage failed, or memory is
/// faulty) and of a kill from outside (out of memory, power); the task is then requeued as that of a lost worker.
struct CrashMarker {
    /// The end of an earlier process during a task.
    struct Crash: Equatable {
        let run: String
        let task: Int64
        let epoch: Int64
        /// Nil if the process could not record it: it was killed with SIGKILL, or the machine stopped.
        let signal: Int32?

        /// Whether the task may have caused it.
        var isCausedByTask: Bool { signal.map { $0 != SIGBUS } ?? false }

        /// One line.
        var description: String {
            switch signal {
            case SIGBUS?:
                "by a bus error: a file of the model or of the prompt embeddings was truncated, its storage failed, or "
                    + "memory is faulty"
            case let signal?: "by signal \(signal)"
            case nil: "from outside, for example because memory ran out, or the machine stopped"
            }
        }
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

    /// Returns the crash of an earlier process and removes its marker; nil if it ended between tasks.
    func takeCrash() -> Crash? {
        defer { unlink(path) }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count >= 3, let task = Int64(fields[1]), let epoch = Int64(fields[2]) else { return nil }
        var signal: Int32?
        if fields.count == 5, fields[3] == "signal", let letter = fields[4].utf8.first, letter >= UInt8(ascii: "A") {
            signal = Int32(letter - UInt8(ascii: "A"))
        }
        return Crash(run: String(fields[0]), task: task, epoch: epoch, signal: signal)
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
    if number == SIGBUS {
        let line: StaticString =
            "ecad-worker: error: bus error: a mapped file was truncated or its storage failed, or memory is faulty\n"
        _ = write(STDERR_FILENO, line.utf8Start, line.utf8CodeUnitCount)
    }
    raise(number)
}
