import Foundation

/// A running executable of this package.
public final class ProgramRun: @unchecked Sendable {
    // Each instance is used by a single test, never by several threads.
    private let process = Process()
    private let folder: TemporaryFolder

    /// The directory of the executables, which is that of the test bundle.
    public static let productFolder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().path

    /// Starts an executable such as `ecad-coordinator`.
    ///
    /// - Parameters:
    ///   - name: The executable.
    ///   - arguments: Its arguments.
    ///   - input: Its standard input.
    ///   - environment: Variables in addition to those of this process.
    /// - Throws: A Foundation error if it has not been built.
    public init(
        _ name: String, _ arguments: [String], input: String? = nil, environment: [String: String] = [:]
    ) throws {
        folder = try TemporaryFolder()
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.executableURL = URL(fileURLWithPath: "\(Self.productFolder)/\(name)")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        if let input { process.standardInput = FileHandle(forReadingAtPath: try folder.write(input, to: "in")) }
        process.standardOutput = try Self.writer(folder.file("out"))
        process.standardError = try Self.writer(folder.file("err"))
        try process.run()
    }

    private static func writer(_ path: String) throws -> FileHandle {
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    /// The process identifier.
    public var processID: Int32 { process.processIdentifier }

    /// Whether the process is still running.
    public var isRunning: Bool { process.isRunning }

    /// The standard output so far.
    public var output: String { (try? String(contentsOfFile: folder.file("out"), encoding: .utf8)) ?? "" }

    /// The standard error so far.
    public var errors: String { (try? String(contentsOfFile: folder.file("err"), encoding: .utf8)) ?? "" }

    /// Sends SIGKILL and waits for the process to exit.
    public func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Sends SIGTERM.
    public func terminate() {
        process.terminate()
    }

    /// Waits for the process to exit and returns its status; after the timeout kills it and returns nil.
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

    /// Waits until standard error contains a text.
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
