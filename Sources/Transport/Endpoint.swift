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

    /// The same port of an address.
    func at(_ address: HostAddress) -> Endpoint { Endpoint(host: address.description, port: port) }

    /// Whether the host is a numeric address that only this machine can reach.
    public var isLoopback: Bool { HostAddress(numeric: host)?.isLoopback ?? false }

    /// The same endpoint with a numeric host, if all addresses of the host are of this machine only.
    ///
    /// Nil for other hosts, and for a name that cannot be resolved.
    public func onLoopback() -> Endpoint? {
        guard let addresses = try? HostAddress.lookUp(host).get(), addresses.allSatisfy(\.isLoopback) else {
            return nil
        }
        return (addresses.first { !$0.isIPv6 } ?? addresses.first).map { Endpoint(host: $0.description, port: port) }
    }

    // MARK: - Listening

    /// The numeric endpoint that listening here means, since libzmq resolves no names to listen on.
    ///
    /// The host is an address, an interface (its address) or a name of this machine. Of several addresses it selects
    /// one that other machines can reach, and IPv4 before IPv6.
    ///
    /// - Throws: `addressNotLocal`.
    public func resolvedForListening() throws(TransportError) -> Endpoint {
        if host == "*" { return Endpoint(host: "0.0.0.0", port: port) }
        // Whether an address is the machine's own is left to the system, which can allow others.
        if HostAddress(numeric: host) != nil { return self }
        let local = HostAddress.ofThisMachine()
        var candidates = local.filter { $0.interface == host }.map(\.address)
        if candidates.isEmpty {
            guard if_nametoindex(host) == 0 else {
                throw .addressNotLocal(endpoint: description, detail: "the interface \(host) is down or has no address")
            }
            let found: [HostAddress]
            switch HostAddress.lookUp(host) {
            case .success(let addresses): found = addresses
            case .failure(let failure):
                throw .addressNotLocal(
                    endpoint: description,
                    detail: "\(host) is not an interface of this machine, and cannot be resolved (\(failure.reason))")
            }
            candidates = found.filter { address in
                address.isLoopback || address.isWildcard || local.contains { $0.address == address }
            }
            guard !candidates.isEmpty else {
                let addresses = found.map(\.description).joined(separator: ", ")
                throw .addressNotLocal(
                    endpoint: description, detail: "\(host) is \(addresses), which is not an address of this machine")
            }
        }
        func rank(_ address: HostAddress) -> Int {
            (address.isLoopback ? 4 : 0) + (address.isLinkLocal ? 2 : 0) + (address.isIPv6 ? 1 : 0)
        }
        let selected = candidates.min { rank($0) < rank($1) }
        return Endpoint(host: selected?.description ?? host, port: port)
    }

    /// The endpoints by which other machines may reach a coordinator that listens here; empty for a loopback address.
    public var fromOtherMachines: [Endpoint] {
        guard let address = HostAddress(numeric: host) else { return [self] }
        guard address.isWildcard else { return address.isLoopback ? [] : [self] }
        return HostAddress.ofThisMachine().map(\.address)
            .filter { !$0.isLoopback && !$0.isLinkLocal && (address.isIPv6 || !$0.isIPv6) }
            .map { Endpoint(host: $0.description, port: port) }
    }

    // MARK: - Connecting

    /// Rejects an endpoint to which nothing can connect.
    ///
    /// - Throws: `endpointSyntax` for a wildcard host or port.
    func requireConnectable() throws(TransportError) {
        guard port != 0, host != "*", HostAddress(numeric: host)?.isWildcard != true else {
            throw .endpointSyntax(
                value: description, expected: "the coordinator's own host and port, as in tcp://head:5555")
        }
    }

    /// The addresses of the host; blocks for as long as the resolver takes.
    ///
    /// - Throws: `hostNotFound`.
    func addresses() throws(TransportError) -> [HostAddress] {
        switch HostAddress.lookUp(host) {
        case .success(let addresses): return addresses
        case .failure(let failure):
            throw .hostNotFound(host: host, endpoint: description, detail: failure.reason)
        }
    }
}
