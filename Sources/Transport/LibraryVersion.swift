import CZeroMQ

/// A version of libzmq.
public struct LibraryVersion: Comparable, Sendable, CustomStringConvertible {
    /// Major, minor and patch number.
    public var major: Int, minor: Int, patch: Int

    /// The oldest that may face a network.
    ///
    /// Older ones are open to CVE-2019-6250, CVE-2019-13132 and CVE-2020-15166: an unauthenticated peer can stall or
    /// take over the process.
    public static let minimum = LibraryVersion(major: 4, minor: 3, patch: 3)

    /// The one in use.
    public static var installed: LibraryVersion {
        var major: Int32 = 0
        var minor: Int32 = 0
        var patch: Int32 = 0
        zmq_version(&major, &minor, &patch)
        return LibraryVersion(major: Int(major), minor: Int(minor), patch: Int(patch))
    }

    /// Whether `lhs` was released before `rhs`.
    public static func < (lhs: LibraryVersion, rhs: LibraryVersion) -> Bool {
        (lhs.major, lhs.minor, lhs.patch) < (rhs.major, rhs.minor, rhs.patch)
    }

    /// As in `4.3.4`.
    public var description: String { "\(major).\(minor).\(patch)" }

    func requireSafe() throws(TransportError) {
        guard self >= .minimum else { throw .libraryTooOld(found: self, minimum: .minimum) }
    }
}
