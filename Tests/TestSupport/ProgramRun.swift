import Foundation

/// A program of this package, run as its own process.
public final class ProgramRun: @unchecked Sendable {
    // Process and the files are used by the test that made them; several threads never share one.
    private let process = Process()
    private let folder: TemporaryFolder

    /// Where the built programs are: beside the test bundle.
    public static let productFolder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().path

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - name: The product, such as `ecad-coordinator`.
    ///   - arguments: Its arguments.
    /// - Throws: An error of Foundation if the program is not built.
    public init(_ name: String, _ arguments: [String]) throws {
        folder = try TemporaryFolder()
        process.executableURL = URL(fileURLWithPath: "\(Self.productFolder)/\(name)")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try Self.writer(folder.file("out"))
        process.standardError = try Self.writer(folder.file("err"))
        try process.run()
    }

    private static func writer(_ path: String) throws -> FileHandle {
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    /// The process number.
    public var processID: Int32 { process.processIdentifier }

    /// True until the process has ended.
    public var isRunning: Bool { process.isRunning }

    /// What it has written to standard output.
    public var output: String { (try? String(contentsOfFile: folder.file("out"), encoding: .utf8)) ?? "" }

    /// What it has written to standard error.
    public var errors: String { (try? String(contentsOfFile: folder.file("err"), encoding: .utf8)) ?? "" }

    /// Kills the process without a chance to clean up, and waits until it is gone.
    public func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Asks the process to end.
    public func terminate() {
        process.terminate()
    }

    /// Waits for the end and returns the exit status; a process that takes too long is killed and gives nil.
    public func wait(seconds: Double = 120) -> Int32? {
        let deadline = Date().addingTimeInterval(seconds)
        while process.isRunning, Date() < deadline { Thread.sleep(forTimeInterval: 0.02) }
        guard !process.isRunning else {
            kill()
            return nil
        }
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// Waits until standard error holds a text.
    public func waitForError(containing text: String, seconds: Double = 60) -> Bool {
        let deadline = Date().addingTimeInterval(seconds)
        while Date() < deadline {
            if errors.contains(text) { return true }
            if !process.isRunning { return errors.contains(text) }
            Thread.sleep(forTimeInterval: 0.02)
        }
        return false
    }

    deinit {
        if process.isRunning { kill() }
    }
}
