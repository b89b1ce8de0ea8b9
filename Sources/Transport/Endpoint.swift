import Glibc

/// Where a coordinator listens or a worker connects: `tcp://HOST:PORT`.
public struct Endpoint: Equatable, Sendable, CustomStringConvertible {
    /// A name, an address, an interface, or `*` for every address of the machine; IPv6 without brackets.
    public let host: String
    /// 1 to 65535, or 0 for any free port, to listen only.
    public let port: UInt16

    /// Reads what a person wrote.
    ///
    /// - Parameter text: `tcp://HOST:PORT`, with an IPv6 address in brackets, and `*` or 0 for any free port.
    /// - Throws: `endpointSyntax` that quotes the text.
    public init(_ text: String) throws(TransportError) {
        func failure(_ expected: String) -> TransportError { .endpointSyntax(value: text, expected: expected) }
        guard text.hasPrefix("tcp://") else { throw failure("tcp://HOST:PORT, as in tcp://192.0.2.7:5555") }
        let address = text.dropFirst("tcp://".count)
        guard let colon = address.lastIndex(of: ":"), !address.hasSuffix("]") else {
            throw failure("a port after the host, as in tcp://HOST:5555")
        }
        let port = address[address.index(after: colon)...]
        let isNumeric = port.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard let number = port == "*" ? 0 : UInt16(port), isNumeric || port == "*" else {
            throw failure("a port from 1 to 65535, or * for any free one")
        }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw failure("an IPv6 address in brackets, as in tcp://[::1]:5555")
        }
        // libzmq gives a meaning of its own to ";".
        guard !host.isEmpty, host.allSatisfy({ $0.isASCII && !$0.isWhitespace && !";/".contains($0) }) else {
            throw failure("a host name or address, as in tcp://HOST:5555")
        }
        self.init(host: String(host), port: number)
    }

    private init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// As a person writes it; any free port is `*`.
    public var description: String {
        "tcp://\(host.contains(":") ? "[\(host)]" : host):\(port == 0 ? "*" : String(port))"
    }

    /// Where a process on this machine reaches a coordinator that listens here.
    public var fromThisMachine: Endpoint {
        switch host {
        case "*", "0.0.0.0": Endpoint(host: "127.0.0.1", port: port)
        case "::": Endpoint(host: "::1", port: port)
        default: self
        }
    }

    /// True if nothing but this machine can be at the other end.
    public var isLoopback: Bool {
        guard host != "localhost", host != "::1" else { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    /// Whether only IPv6 leads there.
    ///
    /// Asked of the resolver now because libzmq resolves in the background and retries a misspelt name silently.
    ///
    /// - Throws: `endpointSyntax` when it is no place to connect to, `hostNotFound` when it has no address.
    func needsIPv6ToConnect() throws(TransportError) -> Bool {
        guard port != 0, host != "*" else {
            throw .endpointSyntax(value: description, expected: "a definite host and port to connect to")
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &found)
        guard status == 0 else {
            let detail = status == EAI_SYSTEM ? String(cString: strerror(errno)) : String(cString: gai_strerror(status))
            throw .hostNotFound(host: host, endpoint: description, detail: detail)
        }
        defer { freeaddrinfo(found) }
        let addresses = sequence(first: found) { $0?.pointee.ai_next }.prefix { $0 != nil }
        return !addresses.contains { $0?.pointee.ai_family == AF_INET }
    }
}
