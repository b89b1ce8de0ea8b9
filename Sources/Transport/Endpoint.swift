import Glibc

/// The address a coordinator listens on or a worker connects to: `tcp://HOST:PORT`.
public struct Endpoint: Equatable, Sendable, CustomStringConvertible {
    /// A name, address or interface, or `*` for all addresses of the machine; IPv6 without brackets.
    public let host: String
    /// 1 to 65535; 0 selects a free port when listening.
    public let port: UInt16

    /// Parses `tcp://HOST:PORT`.
    ///
    /// - Parameter text: An IPv6 address is written in brackets, any free port as `*` or 0.
    /// - Throws: `endpointSyntax` with the text.
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
            throw failure("a port from 1 to 65535, or * for any free port")
        }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw failure("an IPv6 address in brackets, as in tcp://[::1]:5555")
        }
        // libzmq uses ";" to separate a source address.
        guard !host.isEmpty, host.allSatisfy({ $0.isASCII && !$0.isWhitespace && !";/".contains($0) }) else {
            throw failure("a host name or address, as in tcp://HOST:5555")
        }
        self.init(host: String(host), port: number)
    }

    private init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// `tcp://HOST:PORT`; any free port is `*`.
    public var description: String {
        "tcp://\(host.contains(":") ? "[\(host)]" : host):\(port == 0 ? "*" : String(port))"
    }

    /// The endpoint by which a process on this machine connects to a coordinator that listens here.
    public var fromThisMachine: Endpoint {
        switch host {
        case "*", "0.0.0.0": Endpoint(host: "127.0.0.1", port: port)
        case "::": Endpoint(host: "::1", port: port)
        default: self
        }
    }

    /// Whether only this machine can reach or be reached by the endpoint.
    public var isLoopback: Bool {
        guard host != "localhost", host != "::1" else { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    /// Whether the host has IPv6 addresses only.
    ///
    /// Resolves the name at once, because libzmq resolves it in the background and retries a misspelt name silently.
    ///
    /// - Throws: `endpointSyntax` for a wildcard host or port, `hostNotFound` if the host has no address.
    func needsIPv6ToConnect() throws(TransportError) -> Bool {
        guard port != 0, host != "*" else {
            throw .endpointSyntax(value: description, expected: "a specific host and port to connect to")
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
