import Foundation
import History

/// Pages over the histories of runs, live while their coordinators work.
///
/// Read-only: a request can neither change a history nor name a file.
public struct DashboardServer: Sendable {
    private let address: ListenAddress
    private let policy: AccessPolicy
    private let runs: [RunPages]

    /// Opens the histories.
    ///
    /// - Parameters:
    ///   - folders: Run directories, side by side in this order.
    ///   - address: The address to listen on.
    ///   - policy: Who may read.
    /// - Throws: `HistoryError`.
    public init(folders: [String], address: ListenAddress, policy: AccessPolicy) throws {
        self.address = address
        self.policy = policy
        runs = try folders.map(RunPages.init)
    }

    /// Serves until the task is cancelled.
    ///
    /// - Parameter ready: Called with the address for a browser, once it can be opened.
    /// - Throws: ``DashboardError/cannotListen(address:reason:)``.
    public func run(ready: @Sendable (String) -> Void) async throws {
        let changes = RunChanges(runs: runs)
        let server = HTTPServer(address: address) { await self.respond(to: $0, changes) }
        try await server.run { ready("http://\(address.url(port: $0))/") }
    }

    private func respond(to request: HTTPRequest, _ changes: RunChanges) async -> HTTPResponse {
        guard policy.acceptsHost(of: request) else { return HTTPResponse(.forbidden) }
        if request.method == "POST", request.path == "/session" { return policy.signIn(request) }
        guard request.method == "GET" || request.method == "HEAD" else { return HTTPResponse(.methodNotAllowed) }
        switch request.path {
        case "/app.css": return Self.file(WebApp.style, "text/css")
        case "/signin.js": return Self.file(WebApp.signInScript, "text/javascript")
        case "/favicon.ico": return HTTPResponse(.notFound)
        default: break
        }
        guard policy.allows(request) else {
            guard request.path == "/" else { return HTTPResponse(.unauthorized) }
            return HTTPResponse(
                status: .unauthorized, contentType: "text/html; charset=utf-8", Data(WebApp.signInPage.utf8))
        }
        do {
            switch request.path {
            case "/": return Self.file(WebApp.page, "text/html")
            case "/app.js": return Self.file(WebApp.script, "text/javascript")
            case "/api/runs": return HTTPResponse(json: "{\"count\":\(runs.count)}")
            case "/api/changes": return HTTPResponse(events: await changes.stream())
            case "/metrics":
                let text = try await RunMetrics.text(runs)
                return HTTPResponse(contentType: "text/plain; version=0.0.4; charset=utf-8", Data(text.utf8))
            default: return try await page(request)
            }
        } catch {
            return HTTPResponse(status: .internalError, Data("\(error)\n".utf8))
        }
    }

    /// `/api/RUN/PAGE` and `/api/RUN/image/ID`.
    private func page(_ request: HTTPRequest) async throws -> HTTPResponse {
        let parts = request.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
        guard parts.count >= 3, parts[0] == "api", let run = Int(parts[1]), runs.indices.contains(run) else {
            return HTTPResponse(.notFound)
        }
        if parts.count == 4, parts[2] == "image", let id = Int64(parts[3]), let png = try await runs[run].image(id) {
            var response = HTTPResponse(contentType: "image/png", png)
            response.headers = [("Cache-Control", "private, max-age=600")]
            return response
        }
        guard parts.count == 3, let json = try await runs[run].page(parts[2], request.query) else {
            return HTTPResponse(.notFound)
        }
        return HTTPResponse(json: json)
    }

    private static func file(_ text: String, _ type: String) -> HTTPResponse {
        HTTPResponse(contentType: "\(type); charset=utf-8", Data(text.utf8))
    }
}
