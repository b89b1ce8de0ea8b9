import Foundation

/// A request without a body: the method, the path, the decoded query and the header fields.
struct HTTPRequest: Sendable {
    /// Bytes of the request line and the header fields, beyond which a request is rejected.
    static let headLimit = 16 << 10

    let method: String
    /// Percent-decoded, without the query.
    let path: String
    let query: [String: String]
    /// By lower-case name; the last of equal names.
    let headers: [String: String]
    let keepsAlive: Bool

    /// Parses everything before the empty line.
    ///
    /// - Throws: ``HTTPError`` with the status to answer.
    init(head: some Sequence<UInt8>) throws(HTTPError) {
        guard let text = String(validating: Array(head), as: UTF8.self) else { throw HTTPError(.badRequest) }
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
        let words = (lines.first ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0", words[1].hasPrefix("/") else {
            throw HTTPError(.badRequest)
        }
        method = String(words[0])
        let target = words[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = String(target[0]).removingPercentEncoding else { throw HTTPError(.badRequest) }
        self.path = path
        var query: [String: String] = [:]
        for item in target.count > 1 ? target[1].split(separator: "&") : [] {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = String(parts[0]).removingPercentEncoding,
                let value = (parts.count > 1 ? String(parts[1]) : "").removingPercentEncoding
            else { throw HTTPError(.badRequest) }
            query[name] = value
        }
        self.query = query
        var headers: [String: String] = [:]
        for line in lines.dropFirst() where !line.isEmpty {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { throw HTTPError(.badRequest) }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                in: .whitespaces)
        }
        self.headers = headers
        guard headers["transfer-encoding"] == nil, (headers["content-length"] ?? "0") == "0" else {
            throw HTTPError(.contentTooLarge)
        }
        let connection = headers["connection"]?.lowercased()
        keepsAlive = words[2] == "HTTP/1.1" ? connection != "close" : connection == "keep-alive"
    }

    /// The cookies of the request by name.
    var cookies: [String: String] {
        var cookies: [String: String] = [:]
        for item in (headers["cookie"] ?? "").split(separator: ";") {
            let parts = item.trimmingCharacters(in: .whitespaces).split(separator: "=", maxSplits: 1)
            if parts.count == 2 { cookies[String(parts[0])] = String(parts[1]) }
        }
        return cookies
    }
}

/// A status code and its reason phrase.
enum HTTPStatus: Int, Sendable {
    case ok = 200
    case notModified = 304
    case badRequest = 400
    case unauthorized = 401
    case forbidden = 403
    case notFound = 404
    case methodNotAllowed = 405
    case contentTooLarge = 413
    case headersTooLarge = 431
    case internalError = 500
    case unavailable = 503

    var phrase: String {
        switch self {
        case .ok: "OK"
        case .notModified: "Not Modified"
        case .badRequest: "Bad Request"
        case .unauthorized: "Unauthorized"
        case .forbidden: "Forbidden"
        case .notFound: "Not Found"
        case .methodNotAllowed: "Method Not Allowed"
        case .contentTooLarge: "Content Too Large"
        case .headersTooLarge: "Request Header Fields Too Large"
        case .internalError: "Internal Server Error"
        case .unavailable: "Service Unavailable"
        }
    }
}

/// A request that is answered with a status and nothing else.
struct HTTPError: Error {
    let status: HTTPStatus
    init(_ status: HTTPStatus) { self.status = status }
}

/// A response of known length, or a stream of server-sent events.
struct HTTPResponse: Sendable {
    enum Body: Sendable {
        case data(Data)
        /// Parts until the peer is gone; the connection closes afterwards.
        case events(AsyncStream<Data>)
    }

    var status = HTTPStatus.ok
    var contentType = "text/plain; charset=utf-8"
    var headers: [(name: String, value: String)] = []
    var body: Body

    init(status: HTTPStatus = .ok, contentType: String = "text/plain; charset=utf-8", _ data: Data) {
        self.status = status
        self.contentType = contentType
        body = .data(data)
    }

    /// A status with its phrase as text.
    init(_ status: HTTPStatus) { self.init(status: status, Data("\(status.rawValue) \(status.phrase)\n".utf8)) }

    init(json: String) { self.init(contentType: "application/json", Data(json.utf8)) }

    init(events: AsyncStream<Data>) {
        contentType = "text/event-stream"
        body = .events(events)
    }

    /// The status line and the header fields, up to and including the empty line.
    ///
    /// Scripts, styles and connections only from the same origin, and nothing inline: a prompt or a name that contains
    /// markup cannot run.
    func head(keepsAlive: Bool) -> Data {
        var lines = [
            "HTTP/1.1 \(status.rawValue) \(status.phrase)",
            "Content-Type: \(contentType)",
            "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                + "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
            "Cross-Origin-Resource-Policy: same-origin", "Cross-Origin-Opener-Policy: same-origin",
        ]
        if !headers.contains(where: { $0.name == "Cache-Control" }) { lines.append("Cache-Control: no-store") }
        if case .data(let data) = body { lines.append("Content-Length: \(data.count)") }
        lines += headers.map { "\($0.name): \($0.value)" }
        lines.append("Connection: \(keepsAlive ? "keep-alive" : "close")")
        return Data((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }
}
