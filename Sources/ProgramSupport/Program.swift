import ArgumentParser
import Foundation
import Logging

/// The entry point shared by all programs: one line per error; exit status 0 done, 1 failed, 2 usage.
public enum Program {
    /// The version of this release; coordinator and workers must run the same one.
    public static let version = "0.1.0"

    /// Parses the command line, runs the command and exits.
    ///
    /// - Parameter command: The program's root command.
    public static func main(_ command: any ParsableCommand.Type) -> Never {
        do {
            var parsed = try command.parseAsRoot()
            try parsed.run()
        } catch {
            let code = command.exitCode(for: error)
            if code == .validationFailure {
                printError(command.fullMessage(for: error))
                exit(2)
            }
            if let code = error as? ExitCode { exit(code.rawValue) }
            if code == .failure {
                LineLogHandler.logger(label: command._commandName).error("\(error)")
                exit(1)
            }
            command.exit(withError: error)
        }
        exit(0)
    }

    /// Exits without running library destructors.
    ///
    /// A worker that stops during a task has a computing thread: OpenBLAS would free its buffers under that thread, and
    /// the crash would be attributed to the task.
    private static func exit(_ status: Int32) -> Never {
        fflush(nil)
        _exit(status)
    }

    /// Writes a line to standard error.
    public static func printError(_ line: String) {
        StatusLine.standardError.print(line)
    }
}

/// Checks that an integer option is within its range.
///
/// - Parameters:
///   - name: The option, such as `--steps`.
///   - value: The value given.
///   - range: The accepted values.
/// - Throws: `ValidationError`.
public func requireOption(_ name: String, _ value: Int, in range: ClosedRange<Int>) throws {
    guard range.contains(value) else {
        throw ValidationError("\(name) \(value): expected \(range.lowerBound) to \(range.upperBound)")
    }
}

/// Checks that a floating-point option is within its range; NaN is not.
///
/// - Parameters:
///   - name: The option, such as `--seconds`.
///   - value: The value given.
///   - range: The accepted values.
/// - Throws: `ValidationError`.
public func requireOption(_ name: String, _ value: Double, in range: ClosedRange<Double>) throws {
    guard range.contains(value) else {
        func text(_ value: Double) -> String { Int(exactly: value).map(String.init) ?? "\(value)" }
        throw ValidationError("\(name) \(text(value)): expected \(text(range.lowerBound)) to \(text(range.upperBound))")
    }
}
