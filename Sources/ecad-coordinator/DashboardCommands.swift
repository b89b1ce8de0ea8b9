import ArgumentParser
import Dashboard
import Foundation
import ProgramSupport
import Synchronization

extension CoordinatorCommand {
    struct Dashboard: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "dashboard",
            abstract: "Show runs in a browser, finished or running.",
            discussion: """
                Read-only. Any address but the loopback requires a token, which the sign-in page asks for; programs send \
                it as the header "Authorization: Bearer TOKEN". The metrics of Prometheus are at /metrics.
                """)

        @Option(help: "Run directory; several are shown side by side.")
        var runDir: [String]

        @Option(help: "Address to listen on; port 0 selects a free port.")
        var listen = "127.0.0.1:8080"

        @Option(help: "File of mode 600 whose first line is the token that readers must give.")
        var tokenFile: String?

        func run() throws {
            let address = try ListenAddress(listen)
            let policy = try AccessPolicy(address: address, tokenFile: tokenFile)
            let server = try DashboardServer(folders: runDir, address: address, policy: policy)
            try waitFor { try await server.run { Program.printError("dashboard: \($0)") } }
        }
    }

    struct Report: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write the dashboard of a run to one self-contained HTML file.")

        @Option(help: "Run directory.")
        var runDir: String

        @Option(name: .shortAndLong, help: "Output file.")
        var output: String

        func run() throws {
            let report = try RunReport(folder: runDir)
            try waitFor { try await report.write(to: output) }
        }
    }
}

/// Runs an asynchronous operation on other threads and waits for its end.
func waitFor(_ operation: @escaping @Sendable () async throws -> Void) throws {
    let finished = DispatchSemaphore(value: 0)
    let failure = Mutex<(any Error)?>(nil)
    Task {
        do { try await operation() } catch { failure.withLock { $0 = error } }
        finished.signal()
    }
    finished.wait()
    if let error = failure.withLock({ $0 }) { throw error }
}
