import ArgumentParser
import Foundation

/// What the programs have in common: one line for an error, exit status 0 done, 1 failed, 2 usage.
public enum Program {
    /// Parses the command line and runs the command.
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
                end(2)
            }
            if let code = error as? ExitCode { end(code.rawValue) }
            if code == .failure {
                printError("\(command._commandName): error: \(oneLine(error))")
                end(1)
            }
            command.exit(withError: error)
        }
        end(0)
    }

    /// Ends the process without the clean-up of its libraries.
    ///
    /// A worker that leaves in the middle of a task has a thread that computes: OpenBLAS would take its buffers away from
    /// under it, and the crash would be put down to the task.
    private static func end(_ status: Int32) -> Never {
        fflush(nil)
        _exit(status)
    }

    /// Writes a line to standard error.
    public static func printError(_ line: String) {
        FileHandle.standardError.write(Data("\(line)\n".utf8))
    }

    /// The version of this release, which worker and coordinator tell each other and people.
    public static let version = "0.1.0"

    private static func oneLine(_ error: any Error) -> String {
        "\(error)".split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
