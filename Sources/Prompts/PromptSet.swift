import Basics

/// A text prompt with the metadata of its set.
public struct Prompt: Hashable, Sendable {
    /// Not empty; without surrounding white space.
    public let text: String
    /// Category in the set, such as "Animals"; nil if the set has none.
    public let category: String?
    /// Identifier in the set; nil if the set has none.
    public let identifier: String?
    /// Identifier or file name of the image that the text describes, such as COCO's `image_id`; nil if the set has none.
    public let image: String?

    /// The text must not be empty or have surrounding white space.
    public init(text: String, category: String? = nil, identifier: String? = nil, image: String? = nil) {
        self.text = text
        self.category = category
        self.identifier = identifier
        self.image = image
    }
}

/// Format of a prompt file.
public enum PromptFormat: String, Sendable, CaseIterable {
    /// One prompt per line; blank lines are skipped, all others are prompts, also those that begin with `#`.
    case lines
    /// Comma-separated columns below a header, quoted as by Python's `csv`, such as DrawBench.
    case csv
    /// Tab-separated columns below a header, in which quotes are part of the text, such as PartiPrompts.
    case tsv
    /// An array of strings or objects (ImageReward), or an object of objects by identifier (MJHQ-30K).
    case json
    /// A string or an object in every line.
    case jsonl
    /// An object with `annotations`, each with a `caption`, `id` and `image_id`.
    case coco
}

/// A prompt file, in the format of any of the common published sets.
///
/// Without an explicit format, the file name's extension decides (`.csv`, `.tsv`, `.json`, `.jsonl`), then the content:
/// JSON begins with a bracket or brace, tables begin with a row of column names, and all other files have one prompt per
/// line. What could be either is an error.
public struct PromptSet: Hashable, Sendable {
    /// Format of the file.
    public let format: PromptFormat
    /// In file order, not empty; COCO and other sets repeat texts.
    public let prompts: [Prompt]

    /// Texts in file order.
    public var texts: [String] { prompts.map(\.text) }

    /// Distinct categories in order of first occurrence; empty if the set has none.
    public var categories: [String] {
        var seen: Set<String> = []
        return prompts.compactMap(\.category).filter { seen.insert($0).inserted }
    }

    /// Reads a UTF-8 file with or without a byte order mark, and with any line endings.
    ///
    /// - Throws: ``PromptSetError``.
    public init(file: String, format: PromptFormat? = nil) throws(PromptSetError) {
        let bytes: [UInt8]
        do {
            bytes = try FileContents.read(file)
        } catch {
            throw .unreadable(file: file, problem: "\(error.problem); expected a file of prompts")
        }
        try self.init(bytes: bytes, file: file, format: format)
    }

    /// Parses the content of a file, whose name is used in errors and for its extension.
    ///
    /// - Throws: ``PromptSetError``.
    public init(bytes: [UInt8], file: String, format: PromptFormat? = nil) throws(PromptSetError) {
        for mark in [[0xFF, 0xFE], [0xFE, 0xFF]] as [[UInt8]] where bytes.starts(with: mark) {
            throw .unreadable(file: file, problem: "is UTF-16; expected UTF-8")
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let content = bytes.starts(with: mark) ? Array(bytes.dropFirst(mark.count)) : bytes
        var found: PromptFormat
        if let format { found = format } else { found = try Self.detect(content, file: file) }
        switch found {
        case .lines: prompts = try TextPrompts.lines(content, file: file)
        case .csv, .tsv: prompts = try TextPrompts.table(content, format: found, file: file)
        case .jsonl: prompts = try JSONPrompts.lines(content, file: file)
        case .json, .coco:
            let document = try JSONPrompts.document(content, file: file)
            guard found == .json || document.isCOCO else {
                throw .unreadable(file: file, problem: "is not COCO JSON; expected an object with \"annotations\"")
            }
            if document.isCOCO { found = .coco }
            prompts = document.prompts
        }
        self.format = found
        guard !prompts.isEmpty else { throw .empty(file: file) }
    }

    private static func detect(_ bytes: [UInt8], file: String) throws(PromptSetError) -> PromptFormat {
        let name = file[(file.lastIndex(of: "/").map { file.index(after: $0) } ?? file.startIndex)...]
        switch name.lastIndex(of: ".").map({ name[$0...].lowercased() }) {
        case ".csv": return .csv
        case ".tsv": return .tsv
        case ".json": return .json
        case ".jsonl", ".ndjson": return .jsonl
        default: break
        }
        switch bytes.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) {
        case UInt8(ascii: "["), UInt8(ascii: "{"): return JSONPrompts.isJSONLines(bytes) ? .jsonl : .json
        default: return try TextPrompts.detect(bytes, file: file)
        }
    }
}

/// What a column of a table or a member of a JSON object holds, by its name in the published sets; case is ignored.
enum PromptField {
    case prompt, identifier, image, category

    /// Names in order of precedence; two columns whose names have equal precedence are ambiguous.
    private var names: [[String]] {
        switch self {
        case .prompt: [["prompt", "prompts"], ["caption", "captions", "text", "texts"]]
        case .identifier: [["id"], ["prompt_id"]]
        case .image: [["image_id"], ["file_name", "filename"]]
        case .category: [["category"]]
        }
    }

    /// The names of a prompt, for messages.
    static let promptNames = "\"prompt\", \"caption\" or \"text\""

    /// Names that denote the same field.
    struct Ambiguity: Error {
        let problem: String
    }

    /// The position of the field among the names of columns or members; nil if there is none.
    func position(in columns: [String]) throws(Ambiguity) -> Int? {
        let columns = columns.map { $0.trimmedPrompt?.lowercased() ?? "" }
        for group in names {
            let found = columns.indices.filter { group.contains(columns[$0]) }
            guard found.count < 2 else {
                let list = found.map { "\"\(columns[$0])\"" }.joined(separator: " and ")
                throw Ambiguity(problem: "both \(list) may hold the \(self); expected one of them")
            }
            if let position = found.first { return position }
        }
        return nil
    }
}

extension StringProtocol {
    /// The text without surrounding white space; nil if it is blank.
    var trimmedPrompt: String? {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return nil }
        return String(self[first...last])
    }
}
