import Glibc
import Synchronization

/// Who may join, as a running coordinator knows it: the list of a key folder, kept up to date, and keys of its own
/// making.
///
/// What cannot be read lets nobody new in.
public final class KeyRegister: Sendable {
    /// What a key stands for.
    public enum Standing: Equatable, Sendable {
        /// May join, under this name.
        case authorized(name: String)
        /// Might once.
        case revoked(name: String)
        /// Was never on the list.
        case unknown
    }

    /// The file's identity: replaced files have another inode, edited ones another time.
    private struct Stamp: Equatable {
        var inode: UInt = 0
        var size = 0
        var seconds = 0
        var nanoseconds = 0
    }

    private struct State {
        var stamp: Stamp?
        var listed: [PublicKey: KeyFolder.Entry] = [:]
        var session: [PublicKey: String] = [:]
        var isReadable = true
    }

    private let folder: KeyFolder?
    private let state = Mutex(State())

    /// Reads the list of a folder.
    ///
    /// - Parameter folder: Nil for a register of keys made in this process alone.
    /// - Throws: `keyFile`.
    public init(_ folder: KeyFolder?) throws(TransportError) {
        self.folder = folder
        try refresh()
    }

    /// Reads the list again if it has changed.
    ///
    /// - Returns: True if it had.
    /// - Throws: `keyFile` when it cannot be read any more: those who are in stay, nobody else gets in.
    @discardableResult
    public func refresh() throws(TransportError) -> Bool {
        guard let folder else { return false }
        let stamp = Self.stamp(of: folder.workersPath)
        guard state.withLock({ $0.stamp != stamp || !$0.isReadable }) else { return false }
        do {
            let entries = try folder.entries()
            state.withLock { state in
                state.stamp = stamp
                state.isReadable = true
                state.listed = Dictionary(entries.map { ($0.key, $0) }) { $1 }
            }
            return true
        } catch {
            state.withLock { $0.isReadable = false }
            throw error
        }
    }

    /// Lets a key in for the life of this process.
    ///
    /// - Parameters:
    ///   - key: A key made in this process.
    ///   - name: What its owner is called.
    public func admit(_ key: PublicKey, as name: String) {
        state.withLock { $0.session[key] = name }
    }

    /// What a key stands for at present.
    ///
    /// - Parameter key: A key that its owner has proved to have.
    /// - Returns: Whether it may talk to the coordinator.
    public func standing(of key: PublicKey) -> Standing {
        state.withLock { state in
            if let name = state.session[key] { return .authorized(name: name) }
            guard let entry = state.listed[key] else { return .unknown }
            return entry.isRevoked ? .revoked(name: entry.name) : .authorized(name: entry.name)
        }
    }

    /// Whether a new connection may be made with a key.
    func admits(_ key: PublicKey) -> Bool {
        guard case .authorized = standing(of: key) else { return false }
        return state.withLock { $0.isReadable || $0.session[key] != nil }
    }

    private static func stamp(of path: String) -> Stamp {
        var status = stat()
        guard stat(path, &status) == 0 else { return Stamp() }
        return Stamp(
            inode: UInt(status.st_ino), size: Int(status.st_size), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
    }
}
