import Basics
import Glibc

/// Key files and lists of keys: readable only by their owner, replaced atomically.
enum PrivateFile {
    /// Reads a small file; rejects one that others can read or write, as ssh does.
    static func read(_ path: String, isSecret: Bool = true) throws(TransportError) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw .keyFile(path: path, reason: "cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw .lastSystem("fstat \(path)") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .keyFile(path: path, reason: "is not a regular file") }
        let forbidden: mode_t = isSecret ? 0o077 : 0o022
        guard status.st_mode & forbidden == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw .keyFile(
                path: path,
                reason:
                    "has mode \(mode), so others can \(isSecret ? "read" : "change") it; expected 600: chmod 600 it, and "
                    + "replace the key if others had access")
        }
        guard status.st_size <= 16 << 20 else { throw .keyFile(path: path, reason: "is too large to be a key file") }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var count = 0
        while count < bytes.count {
            let part = bytes.withUnsafeMutableBytes {
                Glibc.read(file, $0.baseAddress.map { $0 + count }, $0.count - count)
            }
            if part < 0, errno == EINTR { continue }
            guard part > 0 else { break }
            count += part
        }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// Writes a file of mode 600 atomically and syncs it to disk.
    static func write(_ text: String, to path: String, replacing: Bool) throws(TransportError) {
        do {
            try FileContents.write([Array(text.utf8)], to: path, mode: 0o600, replacing: replacing)
        } catch {
            throw .keyFile(path: path, reason: error.problem)
        }
    }

    /// Creates a directory of mode 700, or checks the mode of an existing one.
    static func createFolder(_ path: String) throws(TransportError) {
        guard mkdir(path, 0o700) != 0 else { return }
        guard errno == EEXIST else {
            throw .keyFile(path: path, reason: "cannot be created: \(String(cString: strerror(errno)))")
        }
        try checkFolder(path)
    }

    /// Rejects a directory that others can enter: they could add their own keys.
    static func checkFolder(_ path: String) throws(TransportError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw .keyFile(path: path, reason: "cannot be read: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .keyFile(path: path, reason: "is not a directory") }
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw .keyFile(path: path, reason: "has mode \(mode); expected 700: chmod 700 it")
        }
    }

    /// Parses lines `name = value`; `#` begins a comment.
    static func fields(of text: String, path: String) throws(TransportError) -> [String: String] {
        var fields: [String: String] = [:]
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.trimmingBlanks()
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let equals = line.firstIndex(of: "=") else {
                throw .keyFile(path: path, reason: "line \(number + 1): expected name = value")
            }
            fields[String(line[..<equals].trimmingBlanks())] = String(
                line[line.index(after: equals)...].trimmingBlanks())
        }
        return fields
    }
}

extension StringProtocol {
    fileprivate func trimmingBlanks() -> SubSequence {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return self[endIndex...] }
        return self[first...last]
    }
}
