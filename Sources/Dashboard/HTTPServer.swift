import FlyingSocks
import Foundation
import Glibc
import Synchronization

/// An HTTP/1.1 server for requests without a body, with bounds on everything a peer controls.
///
/// Sockets and the event loop are FlyingSocks'. The bounds are why the rest is not FlyingFox's `HTTPServer`, which reads
/// header lines of any length and waits for a silent peer for ever: here the head of a request, the time to send it and
/// to take an answer, and the number of connections are limited.
actor HTTPServer {
    struct Limits: Sendable {
        /// Connections at a time; further ones are closed at once.
        var connections = 2000
        /// Seconds to send the head of a request, also the seconds an unused connection stays open.
        var requestSeconds = 20.0
        /// Seconds to take the next part of an answer.
        var writeSeconds = 20.0
    }

    typealias Handler = @Sendable (HTTPRequest) async -> HTTPResponse

    private let address: ListenAddress
    private let limits: Limits
    private let handler: Handler
    private var connections: [Int: Connection] = [:]
    private var connectionCount = 0

    /// A connection's task and the time after which it is cancelled.
    private struct Connection {
        let task: Task<Void, Never>
        let deadline: Deadline
    }

    private final class Deadline: Sendable {
        private let instant = Mutex(ContinuousClock.now)

        func set(seconds: Double) { instant.withLock { $0 = .now + .seconds(seconds) } }
        /// No limit while the server has nothing to send.
        func clear() { set(seconds: 1e9) }
        var hasPassed: Bool { instant.withLock { $0 < .now } }
    }

    init(address: ListenAddress, limits: Limits = Limits(), handler: @escaping Handler) {
        self.address = address
        self.limits = limits
        self.handler = handler
    }

    /// Serves until the task is cancelled.
    ///
    /// - Parameter ready: Called with the port once the server accepts connections.
    /// - Throws: ``DashboardError/cannotListen(address:reason:)``.
    func run(ready: @Sendable (UInt16) -> Void) async throws {
        raiseDescriptorLimit()
        let pool = SocketPool<ePoll>.ePoll(maxEvents: 256)
        let listener: AsyncSocket
        do {
            try await pool.prepare()
            listener = try AsyncSocket(socket: try address.listen(), pool: pool)
        } catch {
            var reason = "\(error)"
            if case SocketError.failed(_, let code, _) = error { reason = String(cString: strerror(code)) }
            if case SocketError.failed(_, EADDRINUSE, _) = error {
                reason = "the port is in use; stop the other process, or choose another port (0 for any)"
            }
            throw DashboardError.cannotListen(address: "\(address)", reason: reason)
        }
        defer { try? listener.socket.close() }
        switch try listener.socket.sockname() {
        case .ip4(_, let port), .ip6(_, let port): ready(port)
        case .unix: break
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await pool.run() }
            group.addTask { try await self.accept(from: listener) }
            group.addTask { try await self.expire() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func accept(from listener: AsyncSocket) async throws {
        while true {
            let socket: AsyncSocket
            do {
                socket = try await listener.accept()
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                // Out of file descriptors, or a peer that is gone already.
                try await Task.sleep(for: .milliseconds(50))
                continue
            }
            guard connections.count < limits.connections else {
                try? socket.socket.close()
                continue
            }
            connectionCount += 1
            let id = connectionCount
            let deadline = Deadline()
            deadline.set(seconds: limits.requestSeconds)
            let task = Task {
                try? await self.serve(socket, deadline)
                self.remove(id, socket)
            }
            connections[id] = Connection(task: task, deadline: deadline)
        }
    }

    private func remove(_ id: Int, _ socket: AsyncSocket) {
        connections[id] = nil
        try? socket.socket.close()
    }

    /// Cancels the connections whose peers are too slow.
    private func expire() async throws {
        while true {
            try await Task.sleep(for: .seconds(1))
            for connection in connections.values where connection.deadline.hasPassed { connection.task.cancel() }
        }
    }

    // MARK: - Connections

    private nonisolated func serve(_ socket: AsyncSocket, _ deadline: Deadline) async throws {
        var received: [UInt8] = []
        while true {
            deadline.set(seconds: limits.requestSeconds)
            let response: HTTPResponse
            var (isHead, keepsAlive) = (false, false)
            do {
                guard let head = try await Self.readHead(from: socket, &received) else { return }
                let request = try HTTPRequest(head: head)
                (isHead, keepsAlive) = (request.method == "HEAD", request.keepsAlive)
                deadline.clear()
                response = await handler(request)
            } catch let error as HTTPError {
                response = HTTPResponse(error.status)
            }
            switch response.body {
            case .data(let data):
                try await write(response.head(keepsAlive: keepsAlive), to: socket, deadline)
                if !isHead { try await write(data, to: socket, deadline) }
                guard keepsAlive else { return }
            case .events(let events):
                try await write(response.head(keepsAlive: false), to: socket, deadline)
                deadline.clear()
                for await part in events {
                    try await write(part, to: socket, deadline)
                    deadline.clear()
                }
                return
            }
        }
    }

    /// The bytes before the next empty line; nil if the peer has closed the connection.
    private static func readHead(from socket: AsyncSocket, _ received: inout [UInt8]) async throws -> [UInt8]? {
        let separator = Array("\r\n\r\n".utf8)
        var searched = 0
        while true {
            if received.count >= 4 {
                for start in max(0, searched - 3)...(received.count - 4)
                where received[start..<(start + 4)].elementsEqual(separator) {
                    let head = Array(received[..<start])
                    received.removeSubrange(..<(start + 4))
                    return head
                }
            }
            guard received.count <= HTTPRequest.headLimit else { throw HTTPError(.headersTooLarge) }
            searched = received.count
            do {
                received += try await socket.read(atMost: 4096)
            } catch SocketError.disconnected {
                return nil
            }
        }
    }

    /// Writes in parts, so that a slow peer that reads has the time it needs.
    private nonisolated func write(_ data: Data, to socket: AsyncSocket, _ deadline: Deadline) async throws {
        var start = data.startIndex
        while start < data.endIndex {
            let end = min(start + 65_536, data.endIndex)
            deadline.set(seconds: limits.writeSeconds)
            try await socket.write(data[start..<end])
            start = end
        }
    }

    /// Raises the soft limit of open files to the hard limit, at most to what the connections need.
    private nonisolated func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, rlim_t(limits.connections + 256)))
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

/// The address of `--listen`: `HOST:PORT`, with a numeric host or `localhost`, IPv6 in brackets.
public struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    let host: String
    let port: UInt16

    /// Parses an address; port 0 selects a free port.
    ///
    /// - Throws: ``DashboardError/invalidAddress(_:)``.
    public init(_ text: String) throws {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw DashboardError.invalidAddress(text)
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw DashboardError.invalidAddress(text)
        }
        self.host = host == "localhost" ? "127.0.0.1" : String(host)
        self.port = port
        let isValid =
            self.host.contains(":")
            ? (try? sockaddr_in6.inet6(ip6: self.host, port: port)) != nil
            : (try? sockaddr_in.inet(ip4: self.host, port: port)) != nil
        guard isValid else { throw DashboardError.invalidAddress(text) }
    }

    /// Whether only this machine can connect.
    public var isLoopback: Bool { host == "::1" || host.hasPrefix("127.") }

    /// `HOST:PORT`.
    public var description: String { url(port: port) }

    /// `HOST:PORT` with the port that was selected.
    func url(port: UInt16) -> String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    func listen() throws -> Socket {
        let isIPv6 = host.contains(":")
        let socket = try Socket(domain: isIPv6 ? AF_INET6 : AF_INET)
        try socket.setValue(true, for: .localAddressReuse)
        if isIPv6 {
            try socket.bind(to: try sockaddr_in6.inet6(ip6: host, port: port))
        } else {
            try socket.bind(to: try sockaddr_in.inet(ip4: host, port: port))
        }
        try socket.listen()
        return socket
    }
}

/// An error of the dashboard, its report or its metrics.
public enum DashboardError: Error, CustomStringConvertible, Equatable {
    /// The value of `--listen` or `--metrics` is not an address.
    case invalidAddress(String)
    /// The port is in use, or the address is not this machine's.
    case cannotListen(address: String, reason: String)
    /// An address that others can reach, without a token.
    case tokenRequired(address: String)
    /// Metrics on an address that others can reach.
    case metricsNeedLoopback(address: String)
    /// The token file cannot be used.
    case tokenFile(path: String, reason: String)

    /// One line.
    public var description: String {
        switch self {
        case .invalidAddress(let text):
            "address is \"\(text)\"; expected HOST:PORT with a numeric host, as in 127.0.0.1:8080 or [::1]:8080"
        case .cannotListen(let address, let reason): "cannot listen on \(address): \(reason)"
        case .tokenRequired(let address):
            "\(address) can be reached from other machines; expected --token-file with a token that readers must give"
        case .metricsNeedLoopback(let address):
            "\(address) can be reached from other machines; expected a loopback address, as in 127.0.0.1:9400"
        case .tokenFile(let path, let reason): "\(path): \(reason)"
        }
    }
}
