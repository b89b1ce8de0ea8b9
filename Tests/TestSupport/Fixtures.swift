import Foundation

/// The folder `Tests/Fixtures` of the checkout.
public enum Fixtures {
    /// Its path.
    public static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures").path

    /// The top folder of the checkout.
    public static let checkout = URL(fileURLWithPath: folder).deletingLastPathComponent().deletingLastPathComponent()
        .path

    /// The folders of the trained models that the checkout ships, sorted.
    public static let bundledModels: [String] = {
        let models = "\(checkout)/cluster/models"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: models)) ?? []
        return names.map { "\(models)/\($0)" }
            .filter { FileManager.default.fileExists(atPath: "\($0)/model_index.json") }.sorted()
    }()

    /// The folder of one of them, a PixArt-alpha.
    public static let bundledModel = "\(checkout)/cluster/models/shapes-pixart-alpha"

    /// The names of a folder's entries with an ending, sorted.
    ///
    /// - Parameters:
    ///   - folder: A folder, relative to ``folder``.
    ///   - ending: What names end in.
    /// - Returns: The names, without the folder.
    public static func names(in folder: String, ending: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.folder)/\(folder)")) ?? []
        return names.filter { $0.hasSuffix(ending) }.sorted()
    }
}

/// A temporary folder that is gone when the value is.
public final class TemporaryFolder: Sendable {
    /// Its path.
    public let path: String

    /// Creates a folder of its own.
    public init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("ecad-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// A path inside.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a text file inside and returns its path.
    public func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        return file(name)
    }

    /// Copies a folder or file to a name inside and returns its path.
    public func copy(of source: String, as name: String) throws -> String {
        try FileManager.default.copyItem(atPath: source, toPath: file(name))
        return file(name)
    }
}
