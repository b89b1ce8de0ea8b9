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

    @Test(
        arguments: [
            ("/home/user/run", "NFS"), ("/home", "NFS"), ("/home/local/run", nil), ("/homes/run", nil), ("/", nil),
            ("/mnt/my disk/run", "sshfs"), ("/scratch/run", "Lustre"), ("/over/run", nil), ("/containers/run", nil),
        ] as [(String, String?)])
    func innermostMountDeterminesTheKind(path: String, kind: String?) {
        #expect(NetworkFileSystem.kind(of: path, mounts: Self.mounts) == kind)
    }

    @Test func missingAndLocalFilesHaveNoKind() {
        #expect(NetworkFileSystem.kind(at: "/proc/self/no such file") == nil)
        #expect(NetworkFileSystem.kind(at: "/proc/self") == nil)
    }
}
