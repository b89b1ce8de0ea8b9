import Glibc

/// How many files and connections the process may have open.
public enum FileDescriptorLimit {
    /// What the program needs besides one descriptor per worker: libraries, history, logs, dashboard.
    private static let reserve = 128

    /// Raises the soft limit to the hard one.
    ///
    /// To be called once at the coordinator's start: at the usual 1,024 libzmq stops accepting workers, without an
    /// error and at full processor load.
    ///
    /// - Parameter workerCount: Connections that must be possible.
    /// - Returns: The number of workers that can connect.
    /// - Throws: `descriptorLimit` when the hard limit is too low.
    @discardableResult
    public static func raise(forWorkers workerCount: Int = 0) throws(TransportError) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw .lastSystem("getrlimit")
        }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
                throw .lastSystem("setrlimit")
            }
        }
        let allowed = Int(clamping: limit.rlim_cur)
        guard workerCount <= allowed - reserve else {
            throw .descriptorLimit(needed: workerCount + reserve, allowed: allowed)
        }
        return allowed - reserve
    }
}
