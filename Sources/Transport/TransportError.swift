import CZeroMQ
import Glibc

/// Failures of endpoints, sockets and keys.
///
/// A lost peer is not an error: sending to it returns false, and it may reconnect.
public enum TransportError: Error, Equatable, CustomStringConvertible {
    /// The text is not an endpoint, or the endpoint cannot be used for this purpose.
    case endpointSyntax(value: String, expected: String)
    /// The host of an endpoint has no address.
    case hostNotFound(host: String, endpoint: String, detail: String)
    /// Another process listens on the port.
    case addressInUse(endpoint: String)
    /// The endpoint to listen on is not an address of this machine.
    case addressNotLocal(endpoint: String, detail: String)
    /// The user lacks the privilege to listen on the port.
    case permissionDenied(endpoint: String)
    /// The message exceeds the size limit.
    case messageTooLarge(bytes: Int, limit: Int)
    /// The installed libzmq has known vulnerabilities.
    case libraryTooOld(found: LibraryVersion, minimum: LibraryVersion)
    /// The limit of open files is too low for the number of connections.
    case descriptorLimit(needed: Int, allowed: Int)
    /// The installed libzmq lacks CURVE.
    case curveMissing
    /// A key file or key folder cannot be used.
    case keyFile(path: String, reason: String)
    /// A worker's name is invalid, unknown or in use.
    case keyName(name: String, reason: String)
    /// The coordinator's socket accepted a key that is not on the list.
    case unknownKeyAccepted(endpoint: String)
    /// A system or library call failed.
    case system(call: String, detail: String)

    /// One line: subject, cause and remedy.
    public var description: String {
        switch self {
        case .endpointSyntax(let value, let expected):
            "endpoint \"\(value)\": expected \(expected)"
        case .hostNotFound(let host, let endpoint, let detail):
            "endpoint \(endpoint): host \(host) cannot be resolved (\(detail)); check the name, or use an IP address"
        case .addressInUse(let endpoint):
            "endpoint \(endpoint): the port is in use; stop the other process, or choose another port (* for any)"
        case .addressNotLocal(let endpoint, let detail):
            "endpoint \(endpoint): \(detail); use 0.0.0.0 to listen on all addresses of this machine"
        case .permissionDenied(let endpoint):
            "endpoint \(endpoint): permission denied; ports below 1024 require a privilege; choose a higher port"
        case .messageTooLarge(let bytes, let limit):
            "message of \(bytes) bytes exceeds the limit of \(limit)"
        case .libraryTooOld(let found, let minimum):
            "libzmq \(found) has known vulnerabilities; expected \(minimum) or later: update the package libzmq5"
        case .descriptorLimit(let needed, let allowed):
            "the connections need \(needed) open files, but the limit is \(allowed): "
                + "raise the hard limit (ulimit -Hn, LimitNOFILE)"
        case .curveMissing:
            "libzmq was built without CURVE: install one with libsodium, such as Debian's libzmq5"
        case .keyFile(let path, let reason):
            "\(path): \(reason)"
        case .keyName(let name, let reason):
            "worker \"\(name)\" \(reason)"
        case .unknownKeyAccepted(let endpoint):
            "endpoint \(endpoint): a connection with an unknown key was accepted; the coordinator does not start"
        case .system(let call, let detail):
            "\(call) failed: \(detail)"
        }
    }
}

extension TransportError {
    /// The error of the last libzmq call on this thread.
    static func lastZeroMQ(_ call: String) -> TransportError {
        .system(call: call, detail: String(cString: zmq_strerror(zmq_errno())))
    }

    /// The error of the last system call on this thread.
    static func lastSystem(_ call: String) -> TransportError {
        .system(call: call, detail: String(cString: strerror(errno)))
    }

    /// Translates the error number of a failed `zmq_bind`.
    static func bind(_ code: Int32, _ endpoint: Endpoint) -> TransportError {
        switch code {
        case EADDRINUSE: .addressInUse(endpoint: endpoint.description)
        case EADDRNOTAVAIL, ENODEV:
            .addressNotLocal(
                endpoint: endpoint.description, detail: "\(endpoint.host) is not an address of this machine")
        case EINVAL where HostAddress(numeric: endpoint.host)?.isLinkLocal == true:
            .addressNotLocal(
                endpoint: endpoint.description,
                detail: "a link-local address needs its interface, as in tcp://[fe80::1%eth0]:5555")
        case EACCES, EPERM: .permissionDenied(endpoint: endpoint.description)
        default: .system(call: "listening on \(endpoint)", detail: String(cString: zmq_strerror(code)))
        }
    }
}
