/// A safetensors file, mapped read-only and checked completely when opened.
///
/// The format: eight bytes with the length of a JSON header, the header, the data
/// (https://github.com/huggingface/safetensors). Tensors keep the mapping alive, so the file object may go.
///
/// - Warning: Do not truncate or rewrite a file in place while it is mapped; replace it by renaming another over it.
public struct SafetensorsFile: Sendable {
    /// The file's path, as given.
    public let path: String
    /// The header's `__metadata__`, empty if it has none.
    public let metadata: [String: String]
    /// The names of all tensors, sorted.
    public let names: [String]
    private let entries: [String: SafetensorsHeader.Entry]
    private let dataStart: Int
    private let mapping: FileMapping

    /// Maps a file and checks its header against its size.
    ///
    /// - Parameter path: The file.
    /// - Throws: ``TensorsError/unreadable(file:reason:)``, ``TensorsError/size(file:bytes:described:)`` or
    ///   ``TensorsError/header(file:reason:)``.
    public init(path: String) throws {
        let mapping = try FileMapping(path: path)
        let header = try SafetensorsHeader(of: mapping.bytes, file: path)
        self.path = path
        self.mapping = mapping
        metadata = header.metadata
        entries = header.entries
        dataStart = header.dataStart
        names = header.entries.keys.sorted()
    }

    /// Whether the file holds a tensor of that name.
    public func contains(_ name: String) -> Bool { entries[name] != nil }

    /// One tensor, without reading it.
    ///
    /// - Parameter name: The tensor's name.
    /// - Returns: The tensor, which keeps the file mapped.
    /// - Throws: ``TensorsError/missingTensor(file:tensor:)``.
    public func tensor(_ name: String) throws -> StoredTensor {
        guard let entry = entries[name] else { throw TensorsError.missingTensor(file: path, tensor: name) }
        return StoredTensor(name: name, entry: entry, dataStart: dataStart, mapping: mapping, file: path)
    }
}
