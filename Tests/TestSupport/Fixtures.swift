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
