import Foundation

/// A copy of a model folder that a test may damage; gone when the value is.
public final class ModelCopy: Sendable {
    /// The copy's folder.
    public let path: String
    private let folder: TemporaryFolder

    /// Copies the model of a fixture such as `alpha-small`.
    public init(of fixture: String) throws {
        folder = try TemporaryFolder()
        path = try folder.copy(of: "\(Fixtures.folder)/\(fixture)/model", as: "model")
    }

    /// The path of a file or folder inside.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Removes a file or folder.
    public func remove(_ name: String) throws {
        try FileManager.default.removeItem(atPath: file(name))
    }

    /// Replaces a file or folder by that of another fixture's model.
    public func replace(_ name: String, byThatOf fixture: String) throws {
        try remove(name)
        try FileManager.default.copyItem(atPath: "\(Fixtures.folder)/\(fixture)/model/\(name)", toPath: file(name))
    }

    /// Replaces a file's content.
    public func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: file(name)))
    }

    /// Cuts a file to a part of its length.
    public func cut(_ name: String, toPart part: Double) throws {
        let data = try Data(contentsOf: URL(filePath: file(name)))
        try data.prefix(Int(Double(data.count) * part)).write(to: URL(filePath: file(name)))
    }

    /// Sets a key of a JSON file.
    ///
    /// - Parameters:
    ///   - key: A key of the outermost object.
    ///   - json: The value as JSON text; nil removes the key.
    ///   - name: The file.
    /// - Throws: What reading, parsing or writing the file throws.
    public func set(_ key: String, to json: String?, in name: String) throws {
        let text = try String(contentsOfFile: file(name), encoding: .utf8).replacing("-Infinity", with: "null")
        var object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:]
        object[key] = try json.map { try JSONSerialization.jsonObject(with: Data($0.utf8), options: .fragmentsAllowed) }
        try JSONSerialization.data(withJSONObject: object).write(to: URL(filePath: file(name)))
    }

    /// Writes a safetensors file again with something changed.
    public func edit(_ name: String, _ change: (inout SafetensorsContent) throws -> Void) throws {
        var content = try SafetensorsContent(path: file(name))
        try change(&content)
        try content.write(to: file(name))
    }
}
