import Basics
import Foundation

extension RunHistory {
    /// Other programs that have a transaction open now, such as "sqlite3 (pid 812)"; empty where it cannot be known.
    ///
    /// While one is open, SQLite cannot write the log back, which then grows with every result.
    public var readers: [String] {
        var status = stat()
        guard stat(file + "-shm", &status) == 0 else { return [] }
        // Linux gives the table a page at a time, and a lock is missed when others before it go meanwhile: a table
        // without a reader is read again.
        for _ in 0..<10 {
            guard let locks = try? FileContents.readText("/proc/locks", expected: "the kernel's locks") else {
                return []
            }
            let processes = SnapshotReaders.processes(in: locks, inode: UInt64(status.st_ino)).filter { $0 != getpid() }
            if !processes.isEmpty { return processes.map(SnapshotReaders.name) }
        }
        return []
    }
}

/// Finds readers by their locks on the log's index, the file `-shm`.
enum SnapshotReaders {
    /// The bytes of the index of which a reader locks one (https://www.sqlite.org/walformat.html#wal_locks).
    private static let readLocks = 123...127

    /// Processes with a read lock of an inode, in ascending order; 0 is one that this process cannot see.
    ///
    /// `locks` are lines such as "7: POSIX  ADVISORY  READ 812 fd:00:4321 124 124", as in `/proc/locks`. The device is not
    /// compared: overlay file systems show another one there than `stat`.
    static func processes(in locks: String, inode: UInt64) -> [Int32] {
        let found = locks.split(separator: "\n").compactMap { line -> Int32? in
            let fields = line.split(separator: " ")
            guard fields.count == 8, fields[1] == "POSIX", fields[3] == "READ", let process = Int32(fields[4]),
                fields[5].split(separator: ":").last.flatMap({ UInt64($0) }) == inode, let first = Int(fields[6]),
                let last = fields[7] == "EOF" ? .max : Int(fields[7]), first <= readLocks.upperBound,
                last >= readLocks.lowerBound
            else { return nil }
            return process
        }
        return Set(found).sorted()
    }

    static func name(of process: Int32) -> String {
        guard process > 0 else { return "a process of another container" }
        let name = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)
        return "\(name?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "a process") (pid \(process))"
    }
}
