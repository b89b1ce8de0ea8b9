import Glibc

/// Identifies the program that listens at an endpoint over plain TCP: libzmq itself reports no cause.
public enum EndpointProbe {
    /// The outcome of a probe.
    public enum Outcome: Equatable, Sendable {
        /// The connection was refused: no program listens on the port.
        case refused
        /// The host cannot be reached, or a firewall drops the packets.
        case unreachable(detail: String)
        /// The program does not speak ZeroMQ.
        case notZeroMQ
        /// The program speaks ZeroMQ with this security mechanism, "NULL" or "CURVE".
        case zeroMQ(mechanism: String)
    }

    /// Connects and reads the peer's ZMTP greeting (https://rfc.zeromq.org/spec/23).
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint to probe; every address of its host is tried.
    ///   - timeout: The longest wait for each address.
    /// - Returns: The outcome for the first address that accepts a connection, otherwise for the last.
    /// - Throws: `hostNotFound`, `endpointSyntax`.
    public static func probe(_ endpoint: Endpoint, timeout: Duration) throws(TransportError) -> Outcome {
        try endpoint.requireConnectable()
        _ = try endpoint.addresses()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(endpoint.host, "\(endpoint.port)", &hints, &found) == 0 else {
            throw .hostNotFound(host: endpoint.host, endpoint: endpoint.description, detail: "no address")
        }
        defer { freeaddrinfo(found) }
        var outcome = Outcome.unreachable(detail: "no address")
        var address = found
        while let candidate = address {
            outcome = probe(candidate.pointee, timeout: timeout)
            switch outcome {
            case .refused, .unreachable: address = candidate.pointee.ai_next
            case .notZeroMQ, .zeroMQ: return outcome
            }
        }
        return outcome
    }

    private static func probe(_ address: addrinfo, timeout: Duration) -> Outcome {
        let descriptor = socket(address.ai_family, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return .unreachable(detail: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        let deadline = Deadline(after: timeout)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        if connect(descriptor, address.ai_addr, address.ai_addrlen) != 0 {
            guard errno == EINPROGRESS else { return failure(errno) }
            guard wait(descriptor, POLLOUT, deadline) else { return .unreachable(detail: "timed out") }
            var code: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
            guard code == 0 else { return failure(code) }
        }
        // Signature and major version: enough to receive the full greeting without proposing a mechanism that the peer
        // could reject.
        let opening: [UInt8] = [0xFF] + [UInt8](repeating: 0, count: 8) + [0x7F, 3]
        _ = send(descriptor, opening, opening.count, Int32(MSG_NOSIGNAL))
        let greetingBytes = 64
        var greeting: [UInt8] = []
        while greeting.count < greetingBytes, wait(descriptor, POLLIN, deadline) {
            var part = [UInt8](repeating: 0, count: greetingBytes - greeting.count)
            let count = recv(descriptor, &part, part.count, 0)
            guard count > 0 else { break }
            greeting += part.prefix(count)
            if greeting[0] != 0xFF { return .notZeroMQ }
        }
        guard greeting.count == greetingBytes, greeting[9] == 0x7F, greeting[10] >= 3 else { return .notZeroMQ }
        return .zeroMQ(mechanism: String(decoding: greeting[12..<32].prefix { $0 != 0 }, as: UTF8.self))
    }

    private static func failure(_ code: Int32) -> Outcome {
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
