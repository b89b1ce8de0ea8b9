import Basics
import Foundation
import Glibc
import Logging
import Synchronization

/// Writes one line per log record to standard error.
///
/// swift-log's `StreamLogHandler` puts time and metadata in front of the message and has no JSON form; here the message
/// comes first, as in other command line tools, and metadata follows.
struct LineLogHandler: LogHandler {
    let label: String
    let format: LogOptions.Format
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(label: String, format: LogOptions.Format, logLevel: Logger.Level = .info) {
        self.label = label
        self.format = format
        self.logLevel = logLevel
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        StatusLine.standardError.print(line(for: event, at: .now))
    }

    /// Formats a record as one line.
    func line(for event: LogEvent, at time: Date) -> String {
        var values = metadata
        if let provided = metadataProvider?.get() { values.merge(provided) { $1 } }
        if let own = event.metadata { values.merge(own) { $1 } }
        if let error = event.error { values["error"] = "\(error)" }
        return switch format {
        case .text: text(event, values)
        case .json: json(event, values, time)
        }
    }

    private func text(_ event: LogEvent, _ values: Logger.Metadata) -> String {
        let level = event.level >= .warning ? "\(event.level): " : ""
        let message = event.message.description.split(whereSeparator: \.isNewline).joined(separator: " ")
            .terminalEscaped
        let pairs = values.sorted { $0.key < $1.key }.map { " \($0.key)=\(Self.quoted("\($0.value)"))" }
        return "\(label): \(level)\(message)\(pairs.joined())"
    }

    /// Quotes a metadata value that would not be one word.
    private static func quoted(_ value: String) -> String {
        let isWord = !value.isEmpty && value.allSatisfy { !$0.isWhitespace && $0 != "\"" && $0 != "=" }
        return isWord ? value.terminalEscaped : jsonText(value).terminalEscaped
    }

    private func json(_ event: LogEvent, _ values: Logger.Metadata, _ time: Date) -> String {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        let fields = [
            ("time", time.formatted(style)), ("level", "\(event.level)"), ("program", label),
            ("message", event.message.description),
        ].map { "\(Self.jsonText($0)):\(Self.jsonText($1))" }
        let pairs = values.sorted { $0.key < $1.key }.map { "\(Self.jsonText($0.key)):\(Self.jsonText("\($0.value)"))" }
        return "{\(fields.joined(separator: ",")),\"metadata\":{\(pairs.joined(separator: ","))}}"
    }

    private static func jsonText(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}": result += "\\u" + String(format: "%04x", scalar.value)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    // MARK: - Process-wide format

    private static let processFormat = Mutex(LogOptions.Format.text)

    /// Sets the format of ``logger(label:)``.
    static func setFormat(_ format: LogOptions.Format) { processFormat.withLock { $0 = format } }

    /// A logger for errors that end the program, which may occur before or without `LogOptions.bootstrap()`.
    static func logger(label: String) -> Logger {
        let format = processFormat.withLock { $0 }
        return Logger(label: label) { LineLogHandler(label: $0, format: format) }
    }
}

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
            shown = String(text.terminalEscaped.prefix((terminalColumns(STDERR_FILENO) ?? 80) - 1))
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
}

/// Characters of a line of the terminal to which a descriptor writes; nil if it is not a terminal, or does not tell.
public func terminalColumns(_ descriptor: Int32) -> Int? {
    var size = winsize()
    return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : nil
}
