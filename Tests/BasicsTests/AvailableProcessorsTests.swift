import Foundation
import TestSupport
import Testing

@testable import Basics

/// Files of `/proc` and of control groups in a temporary directory.
@Suite struct AvailableProcessorsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ text: String, to path: String) throws {
        let url = URL(fileURLWithPath: folder.path + path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }

    private func writeProcess(allowed: String, groups: String, mounts: String) throws {
        try write("Name:\tecad\nCpus_allowed_list:\t\(allowed)\nMems_allowed_list:\t0\n", to: "/proc/self/status")
        try write(groups, to: "/proc/self/cgroup")
        try write(mounts, to: "/proc/self/mountinfo")
    }

    private var result: AvailableProcessors { AvailableProcessors(root: folder.path) }

    private static let version2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"

    @Test(arguments: [("0-7", 8), ("0", 1), ("0-3,8,10-11", 7), ("0-127", 128)])
    func affinityLimitsWithoutAQuota(list: String, count: Int) throws {
        try writeProcess(allowed: list, groups: "0::/\n", mounts: Self.version2)
        #expect(result.count == count)
        #expect(result.description.contains("may run on"))
    }

    @Test(arguments: [
        ("max 100000", 8), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("2000000 100000", 8),
        ("800000 100000", 8), ("nonsense", 8), ("150000 50000", 3),
    ])
    func quotaOfVersion2IsRoundedDown(limit: String, count: Int) throws {
        try writeProcess(allowed: "0-7", groups: "0::/job\n", mounts: Self.version2)
        try write(limit + "\n", to: "/sys/fs/cgroup/job/cpu.max")
        #expect(result.count == count)
        #expect(result.description.contains("/sys/fs/cgroup/job/cpu.max") == (count < 8))
    }

    @Test func lowestQuotaOnThePathDetermines() throws {
        try writeProcess(allowed: "0-15", groups: "0::/slice/job/step\n", mounts: Self.version2)
        try write("max 100000\n", to: "/sys/fs/cgroup/slice/job/step/cpu.max")
        try write("600000 100000\n", to: "/sys/fs/cgroup/slice/job/cpu.max")
        try write("1000000 100000\n", to: "/sys/fs/cgroup/slice/cpu.max")
        #expect(result.count == 6)
        try write("350000 100000\n", to: "/sys/fs/cgroup/slice/cpu.max")
        #expect(result.description == "3 processors (CPU quota 3.5 in /sys/fs/cgroup/slice/cpu.max)")
    }

    @Test func quotaOfVersion1IsRead() throws {
        try writeProcess(
            allowed: "0-7", groups: "4:memory:/x\n2:cpu,cpuacct:/docker/abc\n0::/\n",
            mounts: """
                40 31 0:35 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
                41 31 0:36 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
                """)
        try write("-1\n", to: "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us")
        try write("100000\n", to: "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us")
        #expect(result.count == 8)
        try write("500000\n", to: "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us")
        #expect(result.count == 5, "the container sees its own group at the mount point")
    }

    @Test func groupOfAnotherNamespaceFallsBackToTheMountPoint() throws {
        try writeProcess(allowed: "0-7", groups: "0::/../outside\n", mounts: Self.version2)
        try write("200000 100000\n", to: "/sys/fs/cgroup/cpu.max")
        try write("100000 100000\n", to: "/sys/fs/outside/cpu.max")
        #expect(result.count == 2)
    }

    @Test func unreadableFilesLeaveTheMachinesProcessors() {
        #expect(result.count >= 1)
        #expect(AvailableProcessors.current.count >= 1)
    }
}
