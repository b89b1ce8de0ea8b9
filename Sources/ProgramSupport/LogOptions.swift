import ArgumentParser
import Logging

/// The logging options shared by the programs that log.
public struct LogOptions: ParsableArguments {
    /// The form of a log record on standard error.
    public enum Format: String, CaseIterable, ExpressibleByArgument, Sendable {
        /// `PROGRAM: MESSAGE key=value ...`, with the level in front of warnings and errors.
        case text
        /// A JSON object with `time` (RFC 3339), `level`, `program`, `message` and `metadata`.
        case json
    }

    // ExpressibleByArgument for Logger.Level itself would be a retroactive conformance.
    private enum Level: String, CaseIterable, ExpressibleByArgument {
        case trace, debug, info, notice, warning, error, critical

        var value: Logger.Level {
            switch self {
            case .trace: .trace
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            case .critical: .critical
            }
        }
    }

    @Option(name: .customLong("log-level"), help: "Log records of this level and above.")
    private var selectedLevel = Level.info

    @Option(name: .customLong("log-format"), help: "Format of the log on standard error.")
    private var selectedFormat = Format.text

    /// The defaults: level info, text.
    public init() {}

    /// The lowest level that is logged.
    public var level: Logger.Level { selectedLevel.value }

    /// The form of the records.
    public var format: Format { selectedFormat }

    /// Sets up logging for the process; call it once, before creating the first logger.
    public func bootstrap() {
        let (level, format) = (level, format)
        LineLogHandler.setFormat(format)
        LoggingSystem.bootstrap { LineLogHandler(label: $0, format: format, logLevel: level) }
    }
}
