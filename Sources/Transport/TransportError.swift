import CZeroMQ
import Glibc

/// What can go wrong between a program and its peers before any message is understood.
///
/// Losing a peer is no error: sending to it tells so, and it may come back.
public enum TransportError: Error, Equatable, CustomStringConvertible {
    /// The text is not an endpoint, or not one that can be used so.
    case endpointSyntax(value: String, expected: String)
    /// The host of an endpoint has no address.
    case hostNotFound(host: String, endpoint: String, detail: String)
    /// Another process listens on the port already.
    case addressInUse(endpoint: String)
    /// The host of an endpoint to listen on is not this machine.
    case addressNotLocal(endpoint: String)
    /// The user may not listen on the port.
    case permissionDenied(endpoint: String)
    /// The message is larger than the peer accepts.
    case messageTooLarge(bytes: Int, limit: Int)
    /// The installed libzmq is too old to be exposed to a network.
    case libraryTooOld(found: LibraryVersion, minimum: LibraryVersion)
    /// The system does not allow as many connections as asked for.
    case descriptorLimit(needed: Int, allowed: Int)
    /// The installed libzmq cannot encrypt.
    case curveMissing
    /// A file or folder of keys cannot be used.
    case keyFile(path: String, reason: String)
    /// A worker's name cannot be used on the list of keys.
    case keyName(name: String, reason: String)
    /// The coordinator's socket let a stranger in.
    case strangerAdmitted(endpoint: String)
    /// A call failed for a reason of the system.
    case system(call: String, detail: String)

    /// One line for people: what happened, to what, and what to do.
    public var description: String {
        switch self {
        case .endpointSyntax(let value, let expected):
            "endpoint \"\(value)\": expected \(expected)"
        case .hostNotFound(let host, let endpoint, let detail):
            "endpoint \(endpoint): host \(host) cannot be resolved (\(detail)); check the name, or use its address"
        case .addressInUse(let endpoint):
            "endpoint \(endpoint): the port is in use; stop the other process, or choose another port (* for any)"
        case .addressNotLocal(let endpoint):
            "endpoint \(endpoint): the host is not an address or interface of this machine; "
                + "use 0.0.0.0 to listen on all of them"
        case .permissionDenied(let endpoint):
            "endpoint \(endpoint): permission denied; ports below 1024 need a privilege, choose a higher one"
        case .messageTooLarge(let bytes, let limit):
            "message of \(bytes) bytes is over the limit of \(limit)"
        case .libraryTooOld(let found, let minimum):
            "libzmq \(found) has known security holes, expected \(minimum) or later: update the package libzmq5"
        case .descriptorLimit(let needed, let allowed):
            "\(needed) open files are needed for the connections but only \(allowed) are allowed: "
                + "raise the hard limit (ulimit -Hn, LimitNOFILE)"
        case .curveMissing:
            "this libzmq was built without CURVE: install a libzmq with libsodium (Debian's libzmq5 has it)"
        case .keyFile(let path, let reason):
            "\(path): \(reason)"
        case .keyName(let name, let reason):
            "worker \"\(name)\" \(reason)"
        case .strangerAdmitted(let endpoint):
            "endpoint \(endpoint): a connection with an unknown key was accepted; refusing to serve"
        case .system(let call, let detail):
            "\(call) failed: \(detail)"
        }
    }
}

extension TransportError {
    /// The failure the last libzmq call on this thread reported.
    static func lastZeroMQ(_ call: String) -> TransportError {
        .system(call: call, detail: String(cString: zmq_strerror(zmq_errno())))
    }

    /// The failure the last system call on this thread reported.
    static func lastSystem(_ call: String) -> TransportError {
        .system(call: call, detail: String(cString: strerror(errno)))
    }

    /// What a failed `zmq_bind` means to the person who chose the endpoint.
    static func bind(_ code: Int32, _ endpoint: Endpoint) -> TransportError {
        switch code {
        case EADDRINUSE: .addressInUse(endpoint: endpoint.description)
        case EADDRNOTAVAIL, ENODEV: .addressNotLocal(endpoint: endpoint.description)
        case EACCES, EPERM: .permissionDenied(endpoint: endpoint.description)
        default: .system(call: "listening on \(endpoint)", detail: String(cString: zmq_strerror(code)))
        }
    }
}
