import Foundation

/// Detects network file systems, on which SQLite's write-ahead log is not safe.
///
/// The log's index is memory shared by the processes of one host (https://www.sqlite.org/wal.html#overview). Home and
/// scratch folders of Slurm clusters are usually on a network file system.
enum NetworkFileSystem {
    /// Name of the network file system of an existing path; nil for a local one and if the mount table is unreadable.
    ///
    /// Reads the mount table instead of statfs(2), which reports the same type for all FUSE file systems: sshfs and
    /// GlusterFS as well as local ones, such as the root of rootless containers.
    static func kind(at path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        guard let mounts = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else { return nil }
        return kind(of: String(cString: resolved), mounts: mounts)
    }

    /// The same for an absolute path without symbolic links and the content of /proc/self/mountinfo.
    ///
    /// See proc(5): the fifth field is the mount point, the type is the first field after a single hyphen.
    static func kind(of path: String, mounts: String) -> String? {
        var best = (length: -1, type: "")
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 5, let hyphen = fields[5...].firstIndex(of: "-"), hyphen + 1 < fields.count else {
                continue
            }
            let point = unescaped(fields[4])
            let contains = point == "/" || path == point || path.hasPrefix(point + "/")
            // A later mount on the same mount point hides the earlier one.
            if contains, point.utf8.count >= best.length { best = (point.utf8.count, String(fields[hyphen + 1])) }
        }
        return names[best.type]
    }

    /// Decodes the kernel's octal escapes of whitespace and backslashes.
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
