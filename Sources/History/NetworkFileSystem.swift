import Foundation

/// Recognises file systems shared between hosts, on which SQLite's write-ahead log is not safe.
///
/// The log's index is memory shared by the processes of one host (https://www.sqlite.org/wal.html#overview), and
/// Slurm's home and scratch folders are nearly always on one of these.
enum NetworkFileSystem {
    /// The name of the network file system that holds a path.
    ///
    /// The kernel's table of mounts is read instead of statfs(2), whose one type number for FUSE hides sshfs and
    /// GlusterFS among local file systems (the root of rootless containers is one).
    ///
    /// - Parameter path: An existing file or folder.
    /// - Returns: `nil` for a local file system, and where the kernel does not say.
    static func kind(at path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        guard let mounts = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else { return nil }
        return kind(of: String(cString: resolved), mounts: mounts)
    }

    /// The name of the network file system that holds a path, by a given table of mounts.
    ///
    /// - Parameters:
    ///   - path: An absolute path without symbolic links.
    ///   - mounts: Lines of /proc/self/mountinfo, see proc(5): the fifth field is the mount point, the type is the
    ///     first field after a lone hyphen.
    /// - Returns: `nil` for a local file system.
    static func kind(of path: String, mounts: String) -> String? {
        var best = (length: -1, type: "")
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 5, let hyphen = fields[5...].firstIndex(of: "-"), hyphen + 1 < fields.count else {
                continue
            }
            let point = unescaped(fields[4])
            let holds = point == "/" || path == point || path.hasPrefix(point + "/")
            // A later mount on the same point covers the earlier one.
            if holds, point.utf8.count >= best.length { best = (point.utf8.count, String(fields[hyphen + 1])) }
        }
        return names[best.type]
    }

    /// Undoes the kernel's octal escapes of blanks and backslashes.
    private static func unescaped(_ field: Substring) -> String {
        String(field).replacing("\\040", with: " ").replacing("\\011", with: "\t").replacing("\\012", with: "\n")
            .replacing("\\134", with: "\\")
    }

    private static let names = [
        "nfs": "NFS", "nfs4": "NFS", "cifs": "CIFS", "smb3": "SMB", "lustre": "Lustre", "gpfs": "GPFS",
        "beegfs": "BeeGFS", "beegfs_nodev": "BeeGFS", "ceph": "Ceph", "afs": "AFS", "coda": "Coda", "gfs2": "GFS2",
        "ocfs2": "OCFS2", "panfs": "PanFS", "pvfs2": "OrangeFS", "wekafs": "WekaFS", "dvs": "Cray DVS",
        "fuse.sshfs": "sshfs", "fuse.glusterfs": "GlusterFS", "fuse.ceph-fuse": "Ceph", "fuse.juicefs": "JuiceFS",
        "fuse.rclone": "rclone", "fuse.s3fs": "s3fs", "fuse.gcsfuse": "gcsfuse", "fuse.mfs": "MooseFS",
    ]
}
