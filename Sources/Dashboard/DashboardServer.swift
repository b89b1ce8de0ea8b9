import Basics
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
        guard parts.count == 3, let json = try await runs[run].document(parts[2], request.query) else {
            return HTTPResponse(.notFound)
        }
        return HTTPResponse(contentType: "application/json", json)
    }

    private static func file(_ text: String, _ type: String) -> HTTPResponse {
        HTTPResponse(contentType: "\(type); charset=utf-8", Data(text.utf8))
    }
}

/// Tells browsers which runs have changed, as server-sent events.
///
/// One poll of SQLite's data version and of the coordinator's lock for each run serves all streams. A stream keeps only its newest event, so that a slow
/// peer costs no memory.
actor RunChanges {
    private let runs: [RunPages]
    private var states: [Int: Int64] = [:]
    private var streams: [Int: AsyncStream<Data>.Continuation] = [:]
    private var streamCount = 0
    private var poll: Task<Void, Never>?

    init(runs: [RunPages]) { self.runs = runs }

    /// A new stream; its first event says that the connection works, and that changes from now on are told.
    func stream() async -> AsyncStream<Data> {
        for (index, run) in runs.enumerated() where states[index] == nil {
            // A state that another stream learned meanwhile is the older one, with which the poll compares.
            if let state = try? await run.state(), states[index] == nil { states[index] = state }
        }
        let (stream, continuation) = AsyncStream.makeStream(of: Data.self, bufferingPolicy: .bufferingNewest(1))
        streamCount += 1
        let id = streamCount
        streams[id] = continuation
        continuation.onTermination = { _ in Task { await self.remove(id) } }
        continuation.yield(Data("retry: 2000\nevent: hello\ndata: {}\n\n".utf8))
        if poll == nil { poll = Task { await self.pollRuns() } }
        return stream
    }

    private func remove(_ id: Int) { streams[id] = nil }

    private func pollRuns() async {
        var silent = 0
        while !streams.isEmpty {
            var changed = false
            for (index, run) in runs.enumerated() {
                guard let state = try? await run.state() else { continue }
                if states.updateValue(state, forKey: index) ?? state != state { changed = true }
            }
            silent = changed ? 0 : silent + 1
            // An event without content now and then shows which peers are gone.
            let text =
                changed ? "event: change\ndata: \(Self.encoded(states))\n\n" : silent % 30 == 29 ? ": idle\n\n" : nil
            if let text { for stream in streams.values { stream.yield(Data(text.utf8)) } }
            try? await Task.sleep(for: .milliseconds(500))
        }
        poll = nil
    }

    /// States by the number of the run; a peer that missed events still sees which runs have changed.
    private static func encoded(_ states: [Int: Int64]) -> String {
        "{" + states.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }
}

/// The front end: files of `Web`, compiled into the program.
enum WebApp {
    static let page = text(PackageResources.index_html)
    static let signInPage = text(PackageResources.signin_html)
    static let signInScript = text(PackageResources.signin_js)
    static let style = text(PackageResources.app_css)

    /// All modules as one script, in the order of their dependencies: the same for the dashboard and the report.
    static let script =
        ([scorerTitles]
        + [
            PackageResources.data_js, PackageResources.format_js, PackageResources.plot_js,
            PackageResources.explorer_js,
            PackageResources.candidate_js, PackageResources.pages_js, PackageResources.app_js,
        ].map { bundled(text($0)) }).joined(separator: "\n")

    /// The scorers' titles by name, former names included, for `scorerName` of `format.js`.
    private static let scorerTitles: String = {
        let titles = ScorerKind.allCases.flatMap { kind in
            kind.names.map { "\"\($0)\": \"\(kind.title)\"" }
        }
        return "const scorerTitles = { \(titles.joined(separator: ", ")) };"
    }()

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// A module without its imports and exports; top-level names are unique across the modules.
    private static func bundled(_ module: String) -> String {
        module.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix("import ") }
            .map { $0.hasPrefix("export ") ? $0.dropFirst("export ".count) : $0 }.joined(separator: "\n")
    }

    /// A source of a content security policy that allows exactly this inline script or style.
    static func policySource(of content: String) -> String {
        "'sha256-\(Data(SHA256.digest(content.utf8)).base64EncodedString())'"
    }
}
