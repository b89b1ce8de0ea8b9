import Glibc
import Synchronization

/// A numeric IPv4 or IPv6 address.
public struct HostAddress: Hashable, Sendable, CustomStringConvertible {
    /// As in an endpoint, without brackets: `192.0.2.7`, `fd00::2`, `fe80::1%eth0`.
    public let description: String
    /// Whether a socket needs IPv6 to use it.
    public let isIPv6: Bool
    /// 4 bytes, also for an IPv4 address in IPv6 form (`::ffff:127.0.0.1`), or 16.
    private let bytes: [UInt8]

    /// Whether only this machine can reach it.
    public var isLoopback: Bool { bytes.count == 4 ? bytes[0] == 127 : bytes == [UInt8](repeating: 0, count: 15) + [1] }

    /// Whether a socket that listens on it listens on all addresses of the machine.
    public var isWildcard: Bool { bytes.allSatisfy { $0 == 0 } }

    /// Whether it is valid on one link only, so that other machines need the name of their own interface to use it.
    public var isLinkLocal: Bool {
        bytes.count == 4 ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
    }

    /// Parses an address without a name lookup; nil for a name.
    public init?(numeric text: String) {
        guard let address = try? Self.lookUp(text, flags: AI_NUMERICHOST).get().first else { return nil }
        self = address
    }

    /// Nil for another address family.
    private init?(_ address: UnsafePointer<sockaddr>) {
        let family = Int32(address.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6 else { return nil }
        isIPv6 = family == AF_INET6
        if isIPv6 {
            let all = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
                withUnsafeBytes(of: pointer.pointee.sin6_addr) { Array($0) }
            }
            let isMapped = all.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
            bytes = isMapped ? Array(all.suffix(4)) : all
        } else {
            bytes = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { pointer in
                withUnsafeBytes(of: pointer.pointee.sin_addr) { Array($0) }
            }
        }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let size = isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
        guard getnameinfo(address, socklen_t(size), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 else {
            return nil
        }
        description = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The kernel's name of this machine; Foundation's `hostName` asks the network, which can take seconds.
    public static var nameOfThisMachine: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    // MARK: - Lookups

    /// Why a name has no address.
    struct LookupFailure: Error, Equatable {
        let reason: String
    }

    /// Resolves a name or parses an address; blocks for as long as the resolver takes.
    ///
    /// - Returns: At least one address, in the resolver's order of preference.
    static func lookUp(_ host: String, flags: Int32 = 0) -> Result<[HostAddress], LookupFailure> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &found)
        guard status == 0, let found else {
            let text = status == EAI_SYSTEM ? strerror(errno) : UnsafeMutablePointer(mutating: gai_strerror(status))
            return .failure(LookupFailure(reason: text.map { String(cString: $0) } ?? "error \(status)"))
        }
        defer { freeaddrinfo(found) }
        var addresses: [HostAddress] = []
        for entry in sequence(first: found, next: \.pointee.ai_next) {
            guard let address = entry.pointee.ai_addr.flatMap({ HostAddress($0) }), !addresses.contains(address) else {
                continue
            }
            addresses.append(address)
        }
        return addresses.isEmpty ? .failure(LookupFailure(reason: "no address")) : .success(addresses)
    }

    /// The addresses of the machine's interfaces that are up.
    static func ofThisMachine() -> [(interface: String, address: HostAddress)] {
        var found: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&found) == 0, let found else { return [] }
        defer { freeifaddrs(found) }
        return sequence(first: found, next: \.pointee.ifa_next).compactMap { pointer in
            let entry = pointer.pointee
            guard entry.ifa_flags & UInt32(IFF_UP) != 0,
                let address = entry.ifa_addr.flatMap({ HostAddress($0) })
            else { return nil }
            return (String(cString: entry.ifa_name), address)
        }
    }
}

/// Repeated lookups of one name on threads of their own, since one can block for many seconds.
final class NameLookup: Sendable {
    private struct State {
        var isRunning = false
        var startedAt: ContinuousClock.Instant?
        var result: Result<[HostAddress], HostAddress.LookupFailure>?
    }

    private let host: String
    private let state = Mutex(State())

    init(_ host: String) { self.host = host }

    /// Starts a lookup unless one is running or the last one started less than `pause` ago.
    func start(pause: Duration) {
        let isDue = state.withLock { state in
            guard !state.isRunning, state.startedAt.map({ .now - $0 >= pause }) ?? true else { return false }
            (state.isRunning, state.startedAt) = (true, .now)
            return true
        }
        guard isDue else { return }
        var thread = pthread_t()
        let lookup = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let lookup = Unmanaged<NameLookup>.fromOpaque(argument).takeRetainedValue()
                let result = HostAddress.lookUp(lookup.host)
                lookup.state.withLock { ($0.isRunning, $0.result) = (false, result) }
                return nil
            }, lookup.toOpaque())
        if status == 0 {
            pthread_detach(thread)
        } else {
            lookup.release()
            state.withLock { $0.isRunning = false }
        }
    }

    /// Removes and returns the result of the last lookup; nil if there is none yet.
    func takeResult() -> Result<[HostAddress], HostAddress.LookupFailure>? {
        state.withLock { state in
            defer { state.result = nil }
            return state.result
        }
    }
}
