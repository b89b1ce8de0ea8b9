import ArgumentParser
import Basics
import Foundation

/// Checks the paths that a command writes to, before it does any work.
public enum OutputPath {
    /// Checks the path of a file to write; an existing regular file will be replaced.
    ///
    /// - Parameters:
    ///   - option: The option, such as `--output`.
    ///   - path: The path given.
    ///   - endings: The accepted ends of its name; empty for any.
    ///   - inputs: The files that the command reads, which it must not replace.
    /// - Throws: `ValidationError` for a path that does not suit the command, `FileError` for one that cannot be written.
    public static func checkFile(
        _ option: String, _ path: String, endings: [String] = [], inputs: [String] = []
    ) throws {
        guard endings.isEmpty || endings.contains(where: path.lowercased().hasSuffix) else {
            throw ValidationError(
                "\(option) \(path): expected a name ending in \(endings.joined(separator: " or "))")
        }
        if let input = inputs.first(where: { isSame($0, path) }) {
            throw ValidationError("\(option) \(path): would replace the input \(input); expected another path")
        }
        var isDirectory: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) {
            guard !isDirectory.boolValue else {
                throw FileError(path: path, problem: "is a directory; expected the path of a file to write")
            }
            // A file is written beside its place and renamed: a device would be replaced.
            guard isRegular(path) else {
                throw FileError(path: path, problem: "is not a regular file; expected the path of a file to write")
            }
        }
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        guard FileManager.default.fileExists(atPath: parent, isDirectory: &isDirectory), isDirectory.boolValue else {
            throw FileError(path: path, problem: "cannot be written: \(parent) is not a directory")
        }
        guard access(parent, W_OK | X_OK) == 0 else {
            throw FileError(path: path, problem: "cannot be written: \(parent): \(systemErrorText())")
        }
    }

    /// Checks the path of a directory for several files, which is created if missing.
    ///
    /// - Parameters:
    ///   - option: The option, such as `--output`.
    ///   - path: The path given.
    ///   - fileEndings: Ends of names that a user gives to files.
    /// - Throws: As ``checkFile(_:_:endings:inputs:)``.
    public static func checkDirectory(_ option: String, _ path: String, fileEndings: [String]) throws {
        if let ending = fileEndings.first(where: path.lowercased().hasSuffix) {
            throw ValidationError(
                "\(option) \(path): expected a directory, for several files; found a name in \(ending)")
        }
        var existing = URL(fileURLWithPath: path)
        while !FileManager.default.fileExists(atPath: existing.path), existing.path != "/" {
            existing.deleteLastPathComponent()
        }
        var isDirectory: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: existing.path, isDirectory: &isDirectory)
        guard isDirectory.boolValue else {
            throw FileError(path: path, problem: "cannot be created: \(existing.path) is not a directory")
        }
        guard access(existing.path, W_OK | X_OK) == 0 else {
            throw FileError(path: path, problem: "cannot be written: \(existing.path): \(systemErrorText())")
        }
    }

    /// Whether two paths name one existing file, through links too.
    private static func isSame(_ a: String, _ b: String) -> Bool {
        var (first, second) = (stat(), stat())
        guard stat(a, &first) == 0, stat(b, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    private static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}
