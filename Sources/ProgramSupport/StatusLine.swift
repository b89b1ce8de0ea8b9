import Basics
import Foundation
import Glibc
import Synchronization

/// Standard error, shared by complete lines and by one status line that is overwritten as it changes.
public final class StatusLine: Sendable {
    /// The process's standard error.
    public static let standardError = StatusLine()

    /// Whether standard error is a terminal; elsewhere nothing can be overwritten, and there is no status line.
    public let isInteractive = isatty(STDERR_FILENO) == 1
    private let shown = Mutex("")

    private init() {}

    /// Writes a complete line or several, above the status line if there is one.
    ///
    /// Control characters are escaped: texts contain prompts, names and messages from outside.
    public func print(_ text: String) {
        let line = text.terminalEscapedLines
        shown.withLock { shown in
            write(shown.isEmpty ? "\(line)\n" : "\r\u{1B}[K\(line)\n\(shown)")
        }
    }

    /// Replaces the status line; text beyond the terminal's width is cut off, since a wrapped line cannot be overwritten.
    public func show(_ text: String) {
        guard isInteractive else { return }
        shown.withLock { shown in
            shown = String(text.terminalEscaped.prefix(terminalColumns - 1))
            write("\r\u{1B}[K\(shown)")
        }
    }

    /// Leaves the status line as it is; later output starts on a new line.
    public func end() {
        shown.withLock { shown in
            if !shown.isEmpty { write("\n") }
            shown = ""
        }
    }

    // One write per line, so that lines of several threads and processes do not mix.
    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

    private var terminalColumns: Int {
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return isKnown ? Int(size.ws_col) : 80
    }
}
