@preconcurrency import Glibc
import Synchronization

/// Why a file could not be read or written.
public struct FileError: Error, Equatable, CustomStringConvertible {
    /// The file's path.
    public let path: String
    /// What failed and why, such as "cannot be read: no such file or directory".
    public let problem: String

    /// Describes a failure of the caller's own.
    public init(path: String, problem: String) {
        self.path = path
        self.problem = problem
    }

    /// The path and the problem, in one line.
    public var description: String { "\(path): \(problem)" }
}

/// Reads and writes whole files.
package enum FileContents {
    /// Writes begun by this process.
    private static let writeCount = Atomic(0)

    /// Whether a file or directory exists.
    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The size of a file in bytes; 0 if there is none.
    package static func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// The target of a symbolic link whose target does not exist, as in a hub cache copied without its blobs.
    ///
    /// - Returns: Nil for anything but a dangling link.
    package static func danglingTarget(_ path: String) -> String? {
        guard !exists(path) else { return nil }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        return count < 0 ? nil : String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The error about a file that is needed and does not exist.
    package static func missing(_ path: String, expected: String) -> FileError {
        let problem = danglingTarget(path).map { "is a link to \($0), which does not exist" } ?? "not found"
        return FileError(path: path, problem: "\(problem); expected \(expected)")
    }

    /// Reads a file, or a pipe to its end.
    ///
    /// Also for files of /proc, of which Foundation's readers give the first page only (4 KB), and say nothing.
    ///
    /// - Throws: ``FileError`` with the system's reason, also for a directory; also for a Git LFS pointer.
    package static func read(_ path: String) throws(FileError) -> [UInt8] {
        func failure() -> FileError {
            let code = errno
            let reason = danglingTarget(path).map { "it is a link to \($0), which does not exist" }
            return FileError(path: path, problem: "cannot be read: \(reason ?? systemErrorText(code))")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure() }
        var bytes = [UInt8](repeating: 0, count: max(Int(status.st_size), 0) + 1)
        var count = 0
        while true {
            if count == bytes.count { bytes += [UInt8](repeating: 0, count: max(bytes.count, 1 << 16)) }
            let found = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            }
            if found < 0, errno == EINTR { continue }
            guard found >= 0 else { throw failure() }
            guard found > 0 else { break }
            count += found
        }
        bytes.removeLast(bytes.count - count)
        try rejectPointer(bytes, path: path)
        return bytes
    }

    /// Reads a file of UTF-8 text; a byte order mark is skipped.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - expected: What the file should be, for error messages.
    /// - Returns: The text.
    /// - Throws: ``FileError``.
    package static func readText(_ path: String, expected: String) throws(FileError) -> String {
        let bytes: [UInt8]
        do {
            bytes = try read(path)
        } catch {
            throw FileError(path: path, problem: "\(error.problem); expected \(expected)")
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        guard let text = String(validating: bytes.dropFirst(bytes.starts(with: mark) ? mark.count : 0), as: UTF8.self)
        else {
            let isUTF16 = bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
            throw FileError(
                path: path, problem: "is \(isUTF16 ? "UTF-16" : "not text in UTF-8"); expected \(expected), in UTF-8")
        }
        return text
    }

    /// Rejects content that is a Git LFS pointer: the small text that a clone without Git LFS has in place of a file.
    ///
    /// - Parameters:
    ///   - bytes: The file's content or its beginning.
    ///   - path: The file.
    /// - Throws: ``FileError``.
    package static func rejectPointer(_ bytes: some Sequence<UInt8>, path: String) throws(FileError) {
        guard isPointer(bytes) else { return }
        throw FileError(path: path, problem: "is \(pointerText)")
    }

    /// Whether content begins like a Git LFS pointer.
    package static func isPointer(_ bytes: some Sequence<UInt8>) -> Bool {
        bytes.starts(with: Array("version https://git-lfs.github.com/spec/".utf8))
    }

    /// What a Git LFS pointer is, and what to do about it.
    package static let pointerText =
        "a Git LFS pointer, not the file itself; run \"git lfs pull\" in the repository that it is from"

    /// Creates a directory, and those that it is in; an existing one is left as it is.
    ///
    /// - Throws: ``FileError`` with the system's reason.
    package static func createDirectory(_ path: String, mode: mode_t = 0o777) throws(FileError) {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try createDirectory(String(path[..<slash]), mode: mode)
        }
        // Another process may have created it meanwhile.
        guard mkdir(path, mode) != 0, !(errno == EEXIST && access("\(path)/.", F_OK) == 0) else { return }
        let code = errno
        let reason = code == EEXIST || code == ENOTDIR ? "it is not a directory" : systemErrorText(code)
        throw FileError(path: path, problem: "cannot be created: \(reason)")
    }

    /// Writes a file atomically: after a crash the path holds either its old content or all of the new.
    ///
    /// The content is on disk (fsync) before it appears under its name.
    ///
    /// - Parameters:
    ///   - chunks: The content, in parts.
    ///   - path: The file. A symbolic link is replaced, not followed.
    ///   - mode: Permissions, before the process's umask is applied.
    ///   - replacing: Whether an existing file is replaced; if not, it is an error.
    /// - Throws: ``FileError``.
    package static func write(
        _ chunks: [[UInt8]], to path: String, mode: mode_t = 0o666, replacing: Bool = true
    ) throws(FileError) {
        func failure(_ code: Int32) -> FileError {
            FileError(path: path, problem: "cannot be written: \(systemErrorText(code))")
        }
        // Process and number: threads and processes may write the same path at once, and the last one prevails.
        let number = writeCount.wrappingAdd(1, ordering: .relaxed).newValue
        let partial = "\(path).\(getpid())-\(number).partial"
        // A partial file of a crashed process with the same id may have other permissions.
        unlink(partial)
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw failure(errno) }
        var code: Int32 = 0
        for chunk in chunks where code == 0 { code = write(chunk, to: descriptor) }
        if code == 0, fsync(descriptor) != 0 { code = errno }
        close(descriptor)
        // Unlike rename, link fails if the path exists.
        if code == 0, (replacing ? rename(partial, path) : link(partial, path)) != 0 { code = errno }
        if code != 0 || !replacing { unlink(partial) }
        guard code == 0 else { throw failure(code) }
    }

    package static func write(_ text: String, to path: String) throws(FileError) {
        try write([Array(text.utf8)], to: path)
    }

    /// Returns 0, or errno of the write that failed.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        bytes.withUnsafeBytes { buffer in
            var position = 0
            while position < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[position...])
                let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if written < 0, errno == EINTR { continue }
                guard written >= 0 else { return errno }
                position += written
            }
            return 0
        }
    }
}

/// The C library's text for an error number, beginning in lower case.
package func systemErrorText(_ code: Int32 = errno) -> String {
    let text = String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
}

/// Writes the buffered output of the process.
///
/// - Returns: Nil if everything that was printed has been written, otherwise what failed: a full disk, a closed pipe.
package func flushedOutputProblem() -> String? {
    // A later flush may succeed although an earlier one, of a full buffer, has failed: the stream remembers that.
    let code = fflush(stdout) == 0 ? 0 : errno
    guard code != 0 || ferror(stdout) != 0 else { return nil }
    return "standard output: cannot be written" + (code == 0 ? "" : ": \(systemErrorText(code))")
}
