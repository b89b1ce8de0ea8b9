import Glibc

/// What answers at an endpoint, found out with a bare TCP connection: libzmq itself only says that nothing comes.
public enum GreetingProbe {
    /// What was found.
    public enum Finding: Equatable, Sendable {
        /// Nobody listens on the port.
        case refused
        /// The host cannot be reached, or a firewall swallows what is sent.
        case unreachable(detail: String)
        /// Something listens that does not speak ZeroMQ.
        case notZeroMQ
        /// A ZeroMQ program with this security mechanism: "NULL" or "CURVE".
        case zeroMQ(mechanism: String)
    }

    /// Connects, and reads the other's greeting (https://rfc.zeromq.org/spec/23).
    ///
    /// - Parameters:
    ///   - endpoint: Where a coordinator should listen.
    ///   - timeout: The longest wait for each of the two.
    /// - Returns: What answered.
    /// - Throws: `hostNotFound`, `endpointSyntax`.
    public static func examine(_ endpoint: Endpoint, timeout: Duration) throws(TransportError) -> Finding {
        _ = try endpoint.needsIPv6ToConnect()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(endpoint.host, "\(endpoint.port)", &hints, &found) == 0 else {
            throw .hostNotFound(host: endpoint.host, endpoint: endpoint.description, detail: "no address")
        }
        defer { freeaddrinfo(found) }
        var finding = Finding.unreachable(detail: "no address")
        var address = found
        while let candidate = address {
            finding = examine(candidate.pointee, timeout: timeout)
            switch finding {
            case .refused, .unreachable: address = candidate.pointee.ai_next
            case .notZeroMQ, .zeroMQ: return finding
            }
        }
        return finding
    }

    private static func examine(_ address: addrinfo, timeout: Duration) -> Finding {
        let descriptor = socket(address.ai_family, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return .unreachable(detail: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        let deadline = Deadline(after: timeout)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        if connect(descriptor, address.ai_addr, address.ai_addrlen) != 0 {
            guard errno == EINPROGRESS else { return failure(errno) }
            guard wait(descriptor, POLLOUT, deadline) else { return .unreachable(detail: "no answer") }
            var code: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
            guard code == 0 else { return failure(code) }
        }
        // Signature and major version: enough to be told the rest, and not yet a mechanism that could be turned down.
        let opening: [UInt8] = [0xFF] + [UInt8](repeating: 0, count: 8) + [0x7F, 3]
        _ = send(descriptor, opening, opening.count, Int32(MSG_NOSIGNAL))
        let greetingBytes = 64
        var answer: [UInt8] = []
        while answer.count < greetingBytes, wait(descriptor, POLLIN, deadline) {
            var part = [UInt8](repeating: 0, count: greetingBytes - answer.count)
            let count = recv(descriptor, &part, part.count, 0)
            guard count > 0 else { break }
            answer += part.prefix(count)
            if answer[0] != 0xFF { return .notZeroMQ }
        }
        guard answer.count == greetingBytes, answer[9] == 0x7F, answer[10] >= 3 else { return .notZeroMQ }
        return .zeroMQ(mechanism: String(decoding: answer[12..<32].prefix { $0 != 0 }, as: UTF8.self))
    }

    private static func failure(_ code: Int32) -> Finding {
        code == ECONNREFUSED ? .refused : .unreachable(detail: String(cString: strerror(code)))
    }

    private static func wait(_ descriptor: Int32, _ events: Int32, _ deadline: Deadline) -> Bool {
        while true {
            var item = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&item, 1, Int32(clamping: deadline.millisecondsLeft))
            if count > 0 { return true }
            if count == 0 || errno != EINTR { return false }
        }
    }
}
