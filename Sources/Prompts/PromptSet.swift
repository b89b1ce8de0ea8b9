import Basics
import FoundationEssentials

/// A text prompt with the metadata of its set.
public struct Prompt: Hashable, Sendable {
    /// Not empty; without surrounding white space.
    public let text: String
    /// Category in the set, such as "Animals"; nil if the set has none.
    public let category: String?
    /// Identifier in the set; nil if the set has none.
    public let identifier: String?

    /// The text must not be empty or have surrounding white space.
    public init(text: String, category: String? = nil, identifier: String? = nil) {
        self.text = text
        self.category = category
        self.identifier = identifier
    }
}

/// A prompt file, in the format of any of the common published sets.
///
/// The format is detected from the content: JSON begins with a bracket or brace, tables begin with a row of column
/// names, and all other files have one prompt per line.
public struct PromptSet: Hashable, Sendable {
    /// Detected file format.
    public enum Format: String, Sendable, CaseIterable {
        /// A JSON array of objects with `prompt` and optionally `id` and `category`.
        case imageReward = "ImageReward JSON"
        /// A JSON object that maps image names to objects with `prompt` and `category`.
        case mjhq = "MJHQ-30K JSON"
        /// A JSON object with `annotations`, each with a `caption`.
        case coco = "COCO captions JSON"
        /// Tab-separated columns with the header `Prompt`, `Category`, ...
        case partiPrompts = "PartiPrompts TSV"
        /// Comma-separated columns with the header `Prompts`, `Category`.
        case drawBench = "DrawBench CSV"
        /// One prompt per line.
        case lines = "lines"
    }

    /// Format of the file.
    public let format: Format
    /// In file order, not empty; COCO and other sets repeat texts.
    public let prompts: [Prompt]

    /// Texts in file order.
    public var texts: [String] { prompts.map(\.text) }

    /// Distinct categories in order of first occurrence; empty if the set has none.
    public var categories: [String] {
        var seen: Set<String> = []
        return prompts.compactMap(\.category).filter { seen.insert($0).inserted }
    }

    /// Reads a UTF-8 file with or without a byte order mark, and with LF or CRLF line endings.
    ///
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
        guard !FileContents.isPointer(bytes) else {
            throw .unreadable(file: file, reason: "it is \(FileContents.pointerText)")
        }
        try self.init(bytes: bytes, file: file)
    }

    /// Parses the content of a file, whose name is used in errors.
    ///
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
