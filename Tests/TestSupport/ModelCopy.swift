import Foundation

/// A copy of a model directory that a test may modify; removed with this value.
public final class ModelCopy: Sendable {
    /// The directory of the copy.
    public let path: String
    private let folder: TemporaryFolder

    /// Copies the model of a fixture such as `alpha-small`.
    public init(of fixture: String) throws {
        folder = try TemporaryFolder()
        path = try folder.copy(of: "\(Fixtures.folder)/\(fixture)/model", as: "model")
    }

    /// The path of a file or directory in the copy.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Removes a file or directory.
    public func remove(_ name: String) throws {
        try FileManager.default.removeItem(atPath: file(name))
    }

    /// Replaces a file or directory with that of another fixture's model.
    public func replace(_ name: String, withThatOf fixture: String) throws {
        try remove(name)
        try FileManager.default.copyItem(atPath: "\(Fixtures.folder)/\(fixture)/model/\(name)", toPath: file(name))
    }

    /// Replaces a file's content.
    public func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: file(name)))
    }

    /// Truncates a file to a fraction of its length.
    public func truncate(_ name: String, toFraction fraction: Double) throws {
        let data = try Data(contentsOf: URL(filePath: file(name)))
        try data.prefix(Int(Double(data.count) * fraction)).write(to: URL(filePath: file(name)))
    }

    /// Sets a key of a JSON file.
    ///
    /// - Parameters:
    ///   - key: A key of the top-level object.
    ///   - json: The value as JSON text; nil removes the key.
    ///   - name: The file.
    /// - Throws: The errors of reading, parsing or writing the file.
    public func set(_ key: String, to json: String?, in name: String) throws {
        let text = try String(contentsOfFile: file(name), encoding: .utf8).replacing("-Infinity", with: "null")
        var object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:]
        object[key] = try json.map { try JSONSerialization.jsonObject(with: Data($0.utf8), options: .fragmentsAllowed) }
        try JSONSerialization.data(withJSONObject: object).write(to: URL(filePath: file(name)))
    }

    /// Modifies a safetensors file.
    public func edit(_ name: String, _ change: (inout SafetensorsContent) throws -> Void) throws {
        var content = try SafetensorsContent(path: file(name))
        try change(&content)
        try content.write(to: file(name))
    }
}
