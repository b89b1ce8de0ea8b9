import FoundationEssentials

/// A file of prompts, in any of the forms in which the usual sets are published.
///
/// The content decides what a file is, not its name: JSON begins with a bracket or a brace, a table with a row of
/// column names, and everything else has a prompt on each line.
public struct PromptSet: Hashable, Sendable {
    /// What a file was recognised as.
    public enum Format: String, Sendable, CaseIterable {
        /// A JSON array of objects with `prompt`, and perhaps `id` and `category`.
        case imageReward = "ImageReward JSON"
        /// A JSON object of objects with `prompt` and `category`, by image.
        case mjhq = "MJHQ-30K JSON"
        /// A JSON object whose `annotations` have a `caption` each.
        case coco = "COCO captions JSON"
        /// Columns with tabs between them, the first row naming them: `Prompt`, `Category`, ...
        case partiPrompts = "PartiPrompts TSV"
        /// Columns with commas between them, the first row naming them: `Prompts`, `Category`.
        case drawBench = "DrawBench CSV"
        /// A prompt on each line.
        case lines = "lines"
    }

    /// What the file was recognised as.
    public let format: Format
    /// The prompts in the file's order, at least one; a text may occur more than once, as in COCO.
    public let prompts: [Prompt]

    /// The prompts' texts.
    public var texts: [String] { prompts.map(\.text) }

    /// The categories in the order in which they first occur; empty where the set has none.
    public var categories: [String] {
        var seen: Set<String> = []
        return prompts.compactMap(\.category).filter { seen.insert($0).inserted }
    }

    /// Reads a file.
    ///
    /// - Parameter file: UTF-8, with or without a byte order mark; lines end in LF or CRLF.
    /// - Throws: ``PromptSetError``.
    public init(file: String) throws(PromptSetError) {
        let bytes: [UInt8]
        do {
            bytes = Array(try Data(contentsOf: URL(filePath: file)))
        } catch {
            let code = (error as? CocoaError)?.code
            let reasons: [CocoaError.Code: String] = [
                .fileReadNoSuchFile: "no such file", .fileReadNoPermission: "permission denied",
            ]
            throw .unreadable(file: file, reason: code.flatMap { reasons[$0] } ?? "\(error)")
        }
        try self.init(bytes: bytes, file: file)
    }

    /// Reads a file's content.
    ///
    /// - Parameters:
    ///   - bytes: The content.
    ///   - file: What an error message calls it.
    /// - Throws: ``PromptSetError``.
    public init(bytes: [UInt8], file: String) throws(PromptSetError) {
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let content = bytes.starts(with: mark) ? Array(bytes.dropFirst(mark.count)) : bytes
        let found: (format: Format, prompts: [Prompt])
        switch content.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) {
        case UInt8(ascii: "["), UInt8(ascii: "{"): found = try JSONPrompts.read(content, file: file)
        default: found = try TextPrompts.read(content, file: file)
        }
        guard !found.prompts.isEmpty else { throw .empty(file: file) }
        format = found.format
        prompts = found.prompts
    }
}
