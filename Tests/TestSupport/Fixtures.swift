import Basics
import Foundation

/// The folder `Tests/Fixtures` of the checkout.
public enum Fixtures {
    /// The absolute path.
    public static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures").path

    /// The root of the checkout.
    public static let checkout = URL(fileURLWithPath: folder).deletingLastPathComponent().deletingLastPathComponent()
        .path

    /// The directories of the bundled models, sorted.
    public static let bundledModels: [String] = {
        let models = "\(checkout)/cluster/models"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: models)) ?? []
        return names.map { "\(models)/\($0)" }
            .filter { FileManager.default.fileExists(atPath: "\($0)/model_index.json") }.sorted()
    }()

    /// A bundled PixArt-alpha model.
    public static let bundledModel = "\(checkout)/cluster/models/shapes-pixart-alpha"

    /// The sorted names of a directory's entries with a suffix; `folder` is relative to ``folder``.
    public static func names(in folder: String, ending: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.folder)/\(folder)")) ?? []
        return names.filter { $0.hasSuffix(ending) }.sorted()
    }
}

/// A temporary directory that is removed with this value.
public final class TemporaryFolder: Sendable {
    /// The absolute path.
    public let path: String

    /// Creates a directory with a unique name.
    public init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("ecad-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The path of an entry.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a text file and returns its path.
    public func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        return file(name)
    }

    /// Copies a file or directory into this one and returns its path.
    public func copy(of source: String, as name: String) throws -> String {
        try FileManager.default.copyItem(atPath: source, toPath: file(name))
        return file(name)
    }
}

extension TemporaryFolder {
    /// Lays out a model directory as the hub's cache does: a snapshot of links to blobs that are named by their content.
    ///
    /// - Returns: The snapshot.
    public func hubCache(of model: String) throws -> String {
        let (blobs, snapshot) = ("models--X/blobs", file("models--X/snapshots/0a1b2c"))
        let manager = FileManager.default
        try manager.createDirectory(atPath: file(blobs), withIntermediateDirectories: true)
        for name in try manager.subpathsOfDirectory(atPath: model) {
            let link = "\(snapshot)/\(name)"
            var isDirectory: ObjCBool = false
            _ = manager.fileExists(atPath: "\(model)/\(name)", isDirectory: &isDirectory)
            guard !isDirectory.boolValue else { continue }
            let blob = SHA256.digest(try FileContents.read("\(model)/\(name)")).hexadecimal
            if !manager.fileExists(atPath: file("\(blobs)/\(blob)")) {
                _ = try copy(of: "\(model)/\(name)", as: "\(blobs)/\(blob)")
            }
            let depth = name.split(separator: "/").count
            try manager.createDirectory(
                atPath: URL(filePath: link).deletingLastPathComponent().path, withIntermediateDirectories: true)
            try manager.createSymbolicLink(
                atPath: link,
                withDestinationPath: String(repeating: "../", count: depth + 1) + "blobs/\(blob)")
        }
        return snapshot
    }
}
