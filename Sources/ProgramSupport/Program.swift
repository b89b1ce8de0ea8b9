import ArgumentParser
import Basics
import Foundation
import Logging

/// The entry point shared by all programs: one line per error; exit status 0 done, 1 failed, 2 usage.
public enum Program {
    /// The version of this release; coordinator and workers must run the same one.
    public static let version = "0.1.0"

    /// Parses the command line, runs the command and exits.
    ///
    /// - Parameters:
    ///   - command: The program's root command.
    ///   - emptyAllowed: Options whose value may be empty, such as `--prompt`; elsewhere an empty value, usually an unset
    ///     variable of a script, is a usage error.
    ///   - check: Checks the environment before the command runs.
    public static func main(
        _ command: any ParsableCommand.Type, emptyAllowed: Set<String> = [], check: () throws -> Void = {}
    ) -> Never {
        var running: (any ParsableCommand.Type)?
        do {
            let given = Array(CommandLine.arguments.dropFirst())
            var arguments = CommandLineArguments(given, of: command, emptyAllowed: emptyAllowed)
            running = arguments.command
            try arguments.check(given)
            running = nil
            for warning in arguments.warnings { printError("\(command._commandName): warning: \(warning)") }
            var parsed = try command.parseAsRoot(arguments.parsed)
            running = type(of: parsed)
            try check()
            try parsed.run()
        } catch {
            let code = command.exitCode(for: error)
            if code == .validationFailure {
                printError(usageError(error, of: command, running: running))
                exit(2)
            }
            if let code = error as? ExitCode { exit(code.rawValue) }
            if code == .failure {
                LineLogHandler.logger(label: command._commandName).error("\(error)")
                exit(1)
            }
            command.exit(withError: error)
        }
        exit(0, program: command._commandName)
    }

    /// The error, the usage of the command that was given, and how to learn more.
    ///
    /// An error of parsing knows its command; one of `run()` does not, and the root's usage would mislead.
    private static func usageError(
        _ error: any Error, of root: any ParsableCommand.Type, running: (any ParsableCommand.Type)?
    ) -> String {
        guard let running else { return root.fullMessage(for: error) }
        let usage = root.usageString(for: running)
        let name = usage.split(separator: " ").prefix { !"[<-".contains($0.first ?? "<") }.joined(separator: " ")
        return "Error: \(root.message(for: error))\nUsage: \(usage)\n  See '\(name) --help' for more information."
    }

    /// Exits without running library destructors.
    ///
    /// A worker that stops during a task has a computing thread: OpenBLAS would free its buffers under that thread, and
    /// the crash would be attributed to the task.
    ///
    /// - Parameters:
    ///   - status: The exit status; 1 instead of 0 if the output could not be written, for example to a full disk.
    ///   - program: The program's name, to report that.
    private static func exit(_ status: Int32, program: String = "") -> Never {
        if let problem = flushedOutputProblem(), status == 0 {
            printError("\(program): error: \(problem)")
            _exit(1)
        }
        fflush(nil)
        _exit(status)
    }

    /// Writes a text for people to standard output, with control characters other than newlines escaped.
    ///
    /// - Parameters:
    ///   - text: Lines, which may contain prompts and names from outside.
    ///   - terminator: What follows the text.
    public static func printText(_ text: String, terminator: String = "\n") {
        print(text.terminalEscapedLines, terminator: terminator)
    }

    /// Writes a line to standard error, with control characters escaped.
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
