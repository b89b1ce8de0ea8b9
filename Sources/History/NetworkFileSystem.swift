import Basics
import Foundation

/// Detects file systems that several hosts can write to, on which SQLite's write-ahead log is not safe.
///
/// The log's index is memory shared by the processes of one host (https://www.sqlite.org/wal.html#overview). Home and
/// scratch folders of Slurm clusters are usually on a network file system, folders of virtual machines often on one
/// that the machine shares with its host.
enum NetworkFileSystem {
    /// The kind of a file system.
    enum Kind: Equatable {
        /// Its name, and what it is.
        case shared(String)
        /// A FUSE file system of an unknown type, which may be either.
        case unknown(type: String)
        /// Usually shared with the host of a virtual machine, but declared to be local.
        case declaredLocal(type: String)
        case local
    }

    /// The environment variable with types of file systems that only this machine writes to, separated by commas.
    ///
    /// For sandboxed containers (Kata, gVisor), whose own root is on virtiofs or 9p. Network file systems are not accepted.
    static let variable = "ECAD_LOCAL_FILE_SYSTEMS"

    /// Name of the shared file system of an existing path; nil for another one and if the mount table is unreadable.
    static func kind(at path: String) -> String? {
        if case .shared(let name) = classify(path) { name } else { nil }
    }

    /// What to warn of for an existing path: that it is unknown whether its file system is local, or that it is local only
    /// by the user's word; nil otherwise.
    static func warning(for path: String) -> String? {
        switch classify(path) {
        case .shared, .local: return nil
        case .declaredLocal(let type):
            return "\(path) is on \(type), which \(variable) declares to be written to by this machine only"
        case .unknown(let type): return unknownWarning(path, type)
        }
    }

    private static func unknownWarning(_ path: String, _ type: String) -> String {
        "\(path) is on a file system of the unknown type \(type): if other hosts can write to it too, SQLite's "
            + "write-ahead log is not safe there, and the run directory belongs on a local disk"
    }

    /// Reads the mount table instead of statfs(2), which reports the same type for all FUSE file systems: sshfs and
    /// GlusterFS as well as local ones, such as the root of rootless containers.
    private static func classify(_ path: String) -> Kind {
        guard let resolved = realpath(path, nil) else { return .local }
        defer { free(resolved) }
        guard let mounts = try? FileContents.readText("/proc/self/mountinfo", expected: "the table of mounts") else {
            return .local
        }
        return kind(of: String(cString: resolved), mounts: mounts, declaredLocal: declaredTypes)
    }

    /// The same for an absolute path without symbolic links and the content of /proc/self/mountinfo.
    ///
    /// See proc(5): the fifth field is the mount point, the type is the first field after a single hyphen.
    static func kind(of path: String, mounts: String, declaredLocal: Set<String> = []) -> Kind {
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
        return kind(ofType: best.type, declaredLocal: declaredLocal)
    }

    private static var declaredTypes: Set<String> {
        Set((ProcessInfo.processInfo.environment[variable] ?? "").split(separator: ",").map(String.init))
    }

    /// The kind of a file system type as the mount table writes it, with the subtype of FUSE: `fuse.sshfs`.
    static func kind(ofType type: String, declaredLocal: Set<String> = []) -> Kind {
        let isFuse = type == "fuse" || type.hasPrefix("fuse.")
        // Many kernel file systems also have a FUSE client of the same name.
        let name = type.hasPrefix("fuse.") ? String(type.dropFirst("fuse.".count)) : type
        if let network = networkTypes[name] { return .shared("\(network), a network file system") }
        if hostTypes[name] != nil, declaredLocal.contains(name) { return .declaredLocal(type: name) }
        if let host = hostTypes[name] { return .shared("\(host), shared with the host of this virtual machine") }
        return isFuse && !localFuseTypes.contains(name) ? .unknown(type: type) : .local
    }

    /// Decodes the kernel's octal escapes of whitespace and backslashes.
    private static func unescaped(_ field: Substring) -> String {
        String(field).replacing("\\040", with: " ").replacing("\\011", with: "\t").replacing("\\012", with: "\n")
            .replacing("\\134", with: "\\")
    }

    private static let networkTypes = [
        "nfs": "NFS", "nfs4": "NFS", "cifs": "CIFS", "smb3": "SMB", "smbfs": "SMB", "smbnetfs": "SMB", "ncpfs": "NCP",
        "lustre": "Lustre", "gpfs": "GPFS", "beegfs": "BeeGFS", "beegfs_nodev": "BeeGFS", "fhgfs": "BeeGFS",
        "ceph": "Ceph", "ceph-fuse": "Ceph", "afs": "AFS", "auristorfs": "AuriStorFS", "coda": "Coda", "gfs2": "GFS2",
        "ocfs2": "OCFS2", "acfs": "ACFS", "cvfs": "StorNext", "panfs": "PanFS", "pvfs2": "OrangeFS",
        "orangefs": "OrangeFS", "wekafs": "WekaFS", "dvs": "Cray DVS", "scoutfs": "ScoutFS", "daos": "DAOS",
        "dfuse": "DAOS", "glusterfs": "GlusterFS", "quobyte": "Quobyte", "mfs": "MooseFS", "moosefs": "MooseFS",
        "lizardfs": "LizardFS", "saunafs": "SaunaFS", "juicefs": "JuiceFS", "seaweedfs": "SeaweedFS",
        "cvmfs2": "CVMFS", "alluxio-fuse": "Alluxio", "fuse_dfs": "HDFS", "davfs": "WebDAV", "sshfs": "sshfs",
        "curlftpfs": "curlftpfs", "gvfsd-fuse": "GVfs", "rclone": "rclone", "s3fs": "s3fs", "goofys": "goofys",
        "geesefs": "GeeseFS", "gcsfuse": "gcsfuse", "mountpoint-s3": "Mountpoint for S3", "blobfuse": "blobfuse",
        "blobfuse2": "blobfuse2",
    ]

    /// Processes of the host have another view of the shared memory, and locks may not reach them.
    private static let hostTypes = [
        "9p": "9p", "virtiofs": "virtiofs", "vboxsf": "vboxsf", "vmhgfs": "vmhgfs", "vmhgfs-fuse": "vmhgfs",
        "prl_fs": "prl_fs", "drvfs": "drvfs", "fakeowner": "fakeowner (Docker Desktop)", "osxfs": "osxfs",
        "grpcfuse": "gRPC FUSE",
    ]

    /// FUSE file systems on storage of this machine; the type `fuseblk` is a disk.
    private static let localFuseTypes: Set = [
        "fuse-overlayfs", "ntfs", "ntfs-3g", "exfat", "fuse2fs", "zfs", "encfs", "gocryptfs", "securefs", "cryfs",
        "squashfuse", "unionfs", "lxcfs",
    ]
}
