import FoundationEssentials
import Glibc

/// How many processors this process can keep busy, and what limits them.
///
/// The smaller of two limits: the processors on which it may run (affinity, cpusets), and the CPU quota of its control
/// groups (`docker run --cpus`, limits of Kubernetes and systemd), the lowest on the path to the root of the hierarchy.
///
/// A quota that is not a whole number is rounded down, as Rust's standard library does; Java, Go and .NET round it up.
/// Threads that together exceed a quota are all suspended for the rest of each period, most often while others wait for
/// them at the end of a product, and measured latencies scatter. The rest serves the heartbeats.
package struct AvailableProcessors: Equatable, Sendable, CustomStringConvertible {
    /// The number of processors, at least 1.
    package let count: Int
    /// The count and its reason, such as `4 processors (CPU quota 4.5 in /sys/fs/cgroup/cpu.max)`.
    package let description: String

    /// The limits at the time of the first use.
    package static let current = AvailableProcessors(root: "")

    /// Reads the limits of this process.
    ///
    /// - Parameter root: Prefix of `/proc` and of the mount points of control groups; empty except in tests.
    init(root: String) {
        let affinity = Self.affinity(root) ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        guard let quota = ControlGroups(root: root).cpuQuota, quota.processors < Double(affinity) else {
            count = affinity
            description = "\(affinity) processor\(affinity == 1 ? "" : "s") that this process may run on"
            return
        }
        count = max(1, Int(quota.processors))
        let text = (quota.processors * 100).rounded() / 100
        description = "\(count) processor\(count == 1 ? "" : "s") (CPU quota \(text) in \(quota.file))"
    }

    /// The number of processors of the affinity mask, which cpusets limit too; nil if it cannot be read.
    ///
    /// See proc(5): the line `Cpus_allowed_list` contains numbers and ranges such as `0-3,8`.
    private static func affinity(_ root: String) -> Int? {
        guard let bytes = try? FileContents.read(root + "/proc/self/status") else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard let list = lines.first(where: { $0.hasPrefix("Cpus_allowed_list:") })?.split(separator: "\t").last else {
            return nil
        }
        var count = 0
        for range in list.split(separator: ",") {
            let ends = range.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last, first <= last else { return nil }
            count += last - first + 1
        }
        return count > 0 ? count : nil
    }
}

/// The control groups of this process, version 1 and 2 (https://docs.kernel.org/admin-guide/cgroup-v2.html).
struct ControlGroups {
    struct Quota: Equatable {
        /// CPU time per wall time.
        let processors: Double
        let file: String
    }

    let root: String

    /// The lowest quota of the process's groups; nil without one.
    var cpuQuota: Quota? {
        let memberships = text("/proc/self/cgroup")
        return mounts.flatMap { mount -> [Quota] in
            guard let path = path(in: mount, memberships) else { return [] }
            return quotas(from: path, of: mount)
        }.min { $0.processors < $1.processors }
    }

    private struct Mount {
        /// The part of the hierarchy that is visible at the mount point.
        let top: String
        let point: String
        let isVersion2: Bool
    }

    /// The mounts of hierarchies that may limit processors.
    ///
    /// See proc(5): root and mount point are the fourth and fifth field, type, source and options follow a hyphen.
    private var mounts: [Mount] {
        text("/proc/self/mountinfo").split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 5, let hyphen = fields[5...].firstIndex(of: "-"), hyphen + 3 < fields.count else {
                return nil
            }
            let isVersion2 = fields[hyphen + 1] == "cgroup2"
            let hasController =
                fields[hyphen + 1] == "cgroup" && fields[hyphen + 3].split(separator: ",").contains("cpu")
            guard isVersion2 || hasController else { return nil }
            return Mount(top: String(fields[3]), point: String(fields[4]), isVersion2: isVersion2)
        }
    }

    /// The process's group in a hierarchy, relative to the mount point: empty, or `/a/b`.
    ///
    /// See cgroups(7): `ID:CONTROLLERS:PATH`, without controllers for version 2. A path outside of what is mounted is
    /// that of another namespace; then only the limits at the mount point are visible.
    private func path(in mount: Mount, _ memberships: String) -> String? {
        for line in memberships.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isMember = mount.isVersion2 ? fields[1].isEmpty : fields[1].split(separator: ",").contains("cpu")
            guard isMember else { continue }
            let (path, top) = (fields[2] == "/" ? "" : String(fields[2]), mount.top == "/" ? "" : mount.top)
            guard path == top || path.hasPrefix(top + "/"), !path.contains("..") else { return "" }
            return String(path.dropFirst(top.count))
        }
        return nil
    }

    /// The quotas of a group and of those that contain it.
    private func quotas(from path: String, of mount: Mount) -> [Quota] {
        var parts = path.split(separator: "/")
        var quotas: [Quota] = []
        while true {
            let folder = ([mount.point] + parts.map(String.init)).joined(separator: "/")
            if let quota = mount.isVersion2 ? quota(ofVersion2: folder) : quota(ofVersion1: folder) {
                quotas.append(quota)
            }
            guard !parts.isEmpty else { return quotas }
            parts.removeLast()
        }
    }

    /// `cpu.max` contains `max` or the microseconds of CPU time per period, and the period.
    private func quota(ofVersion2 folder: String) -> Quota? {
        let file = folder + "/cpu.max"
        let fields = text(file).split(whereSeparator: \.isWhitespace).map { Double($0) }
        guard fields.count == 2 else { return nil }
        return quota(fields[0], per: fields[1], file)
    }

    /// `cpu.cfs_quota_us` is -1 without a quota.
    private func quota(ofVersion1 folder: String) -> Quota? {
        let file = folder + "/cpu.cfs_quota_us"
        return quota(number(file), per: number(folder + "/cpu.cfs_period_us"), file)
    }

    private func quota(_ time: Double?, per period: Double?, _ file: String) -> Quota? {
        guard let time, let period, time > 0, period > 0 else { return nil }
        return Quota(processors: time / period, file: file)
    }

    private func number(_ path: String) -> Double? {
        text(path).split(whereSeparator: \.isWhitespace).first.flatMap { Double($0) }
    }

    /// The content of a file; empty if it cannot be read.
    private func text(_ path: String) -> String {
        (try? FileContents.read(root + path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}
