import Foundation
import Testing

@testable import History

@Suite struct NetworkFileSystemTests {
    static let mounts = """
        21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
        30 21 0:30 / /home rw shared:9 - nfs4 server:/home rw,vers=4.2
        31 30 0:31 / /home/local rw - xfs /dev/sdb rw
        32 21 0:32 / /mnt/my\\040disk rw - fuse.sshfs user@host:/ rw
        33 21 0:33 / /scratch rw master:3 propagate_from:2 - lustre mgs@tcp:/scratch rw
        34 21 0:34 / /over rw - cifs //server/share rw
        35 34 0:35 / /over rw - tmpfs tmpfs rw
        36 21 0:36 / /containers rw - fuse.fuse-overlayfs fuse-overlayfs rw
        """

    @Test(arguments: [
        ("/home/user/run", "NFS"), ("/home", "NFS"), ("/home/local/run", nil), ("/homes/run", nil), ("/", nil),
        ("/mnt/my disk/run", "sshfs"), ("/scratch/run", "Lustre"), ("/over/run", nil), ("/containers/run", nil),
    ])
    func innermostMountDeterminesTheKind(path: String, name: String?) {
        let expected = name.map { NetworkFileSystem.Kind.shared("\($0), a network file system") } ?? .local
        #expect(NetworkFileSystem.kind(of: path, mounts: Self.mounts) == expected)
    }

    @Test(arguments: [
        "nfs", "nfs4", "cifs", "smb3", "ceph", "fuse.ceph-fuse", "lustre", "beegfs", "gpfs", "afs", "fuse.sshfs",
        "fuse.glusterfs", "fuse.s3fs", "fuse.juicefs", "ocfs2", "orangefs", "9p", "virtiofs", "vboxsf", "drvfs",
        "prl_fs", "fuse.vmhgfs-fuse", "fuse.grpcfuse",
    ])
    func fileSystemsOfSeveralHostsAreShared(type: String) {
        guard case .shared = NetworkFileSystem.kind(ofType: type) else {
            Issue.record("\(type) is not shared")
            return
        }
    }

    @Test func localAndUnknownTypesAreDistinguished() {
        for type in [
            "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs", "fuse.gocryptfs",
        ] {
            #expect(NetworkFileSystem.kind(ofType: type) == .local, "\(type)")
        }
        for type in ["fuse", "fuse.bindfs", "fuse.something"] {
            #expect(NetworkFileSystem.kind(ofType: type) == .unknown(type: type))
        }
    }

    @Test func missingAndLocalFilesHaveNoKind() {
        #expect(NetworkFileSystem.kind(at: "/proc/self/no such file") == nil)
        #expect(NetworkFileSystem.kind(at: "/proc/self") == nil)
        #expect(NetworkFileSystem.warning(for: "/proc/self") == nil)
    }

    /// The root of a sandboxed container is on virtiofs or 9p.
    @Test func hostsFileSystemsMayBeDeclaredLocal() {
        let kind = NetworkFileSystem.kind(ofType: "virtiofs", declaredLocal: ["virtiofs"])
        #expect(kind == .declaredLocal(type: "virtiofs"))
        for type in ["nfs4", "fuse.sshfs", "9p"] {
            guard case .shared = NetworkFileSystem.kind(ofType: type, declaredLocal: ["virtiofs", "nfs4", "sshfs"])
            else {
                Issue.record("\(type) is accepted")
                continue
            }
        }
    }
}
