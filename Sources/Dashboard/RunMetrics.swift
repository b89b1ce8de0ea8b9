import Foundation
import History

/// Figures of runs in the Prometheus text format (https://prometheus.io/docs/instrumenting/exposition_formats/).
enum RunMetrics {
    /// Name, kind and meaning of every metric.
    private static let descriptions: [(name: String, kind: String, help: String)] = [
        ("ecad_coordinator_up", "gauge", "Whether a coordinator works on the run."),
        ("ecad_tasks", "gauge", "Tasks of the run by state."),
        ("ecad_evaluations_total", "counter", "Candidates evaluated."),
        ("ecad_images_total", "counter", "Images measured."),
        ("ecad_images_per_second", "gauge", "Images measured per second, over the last minute."),
        ("ecad_workers_connected", "gauge", "Workers heard of in the last 15 seconds."),
        ("ecad_worker_failures_total", "counter", "Failed attempts of all workers."),
        ("ecad_refusals_total", "counter", "Refused peers and messages by reason."),
        ("ecad_generation", "gauge", "The current generation, counted from 0."),
        ("ecad_front_members", "gauge", "Candidates on the Pareto front."),
        ("ecad_hypervolume", "gauge", "Hypervolume after the last finished generation."),
    ]

    /// All metrics of all runs, each labelled with its run directory.
    ///
    /// - Throws: `HistoryError`.
    static func text(_ runs: [RunPages]) async throws -> String {
        var samples: [String: [String]] = [:]
        for run in runs {
            let folder = run.folder.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(
                of: "\"", with: "\\\""
            )
            .replacingOccurrences(of: "\n", with: "\\n")
            for count in try await run.counts() {
                let labels = (["run=\"\(folder)\""] + (count.label.isEmpty ? [] : [count.label])).joined(separator: ",")
                samples[count.name, default: []].append("\(count.name){\(labels)} \(count.value)\n")
            }
        }
        return descriptions.map { metric in
            guard let lines = samples[metric.name] else { return "" }
            return "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind)\n" + lines.joined()
        }.joined()
    }
}

/// Serves the metrics of one run, from before it begins: without a history it has none yet.
public struct MetricsServer: Sendable {
    private let address: ListenAddress
    private let folder: String

    /// - Parameters:
    ///   - address: A loopback address; metrics have no token.
    ///   - folder: The run directory.
    /// - Throws: ``DashboardError/tokenRequired(address:)`` for an address that other machines can reach.
    public init(address: ListenAddress, folder: String) throws {
        guard address.isLoopback else { throw DashboardError.metricsNeedLoopback(address: "\(address)") }
        self.address = address
        self.folder = folder
    }

    /// Serves until the task is cancelled.
    ///
    /// - Throws: ``DashboardError/cannotListen(address:reason:)``.
    public func run(ready: @Sendable (String) -> Void) async throws {
        let folder = folder
        let server = HTTPServer(address: address) { request in
            guard request.method == "GET", request.path == "/metrics" else { return HTTPResponse(.notFound) }
            let runs = (try? RunPages(folder: folder)).map { [$0] } ?? []
            guard let text = try? await RunMetrics.text(runs) else { return HTTPResponse(.unavailable) }
            return HTTPResponse(contentType: "text/plain; version=0.0.4; charset=utf-8", Data(text.utf8))
        }
        try await server.run { ready("http://\(address.url(port: $0))/metrics") }
    }
}
