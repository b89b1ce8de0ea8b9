/// Reads TOML 1.0 (toml.io) as settings use it: tables, dotted and quoted keys, the four kinds of strings, numbers,
/// booleans, lists and inline tables.
///
/// Dates, arrays of tables and tables inside lists are refused in so many words. Own code, since the libraries at hand
/// abort or read beyond their memory on some malformed texts, and a misspelt file must end in one line.
struct TOMLParser {
    /// Deepest nesting accepted, so that no text can exhaust the stack.
    static let depthLimit = 64

    private let bytes: [UInt8]
    var position = 0
    private var depth = 0
    private var values: [String: TOMLValue] = [:]
    private var tables: Set<String> = []
    private var headers: Set<String> = []
    private var inlineTables: Set<String> = []

    /// The document's values under their dotted keys, `search.population`.
    static func parse(_ text: String) throws(TOMLError) -> [String: TOMLValue] {
        var parser = TOMLParser(text)
        try parser.document()
        return parser.values
    }

    /// A text that is one value.
    static func parseValue(_ text: String) throws(TOMLError) -> TOMLValue {
        var parser = TOMLParser(text)
        parser.skipBlanks()
        let value = try parser.value()
        parser.skipBlanks()
        guard parser.peek == nil else { throw parser.failure("more text after the value") }
        return value
    }

    private init(_ text: String) { bytes = Array(text.utf8) }

    // MARK: - Structure

    private mutating func document() throws(TOMLError) {
        var table: [String] = []
        while true {
            try skipLines()
            guard let byte = peek else { return }
            if byte == UInt8(ascii: "[") {
                table = try header()
            } else {
                try assignment(in: table)
            }
            skipBlanks()
            try skipComment()
            guard peek == nil || isAtNewline else { throw failure("expected the end of the line") }
        }
    }

    private mutating func header() throws(TOMLError) -> [String] {
        position += 1
        guard peek != UInt8(ascii: "[") else { throw failure("arrays of tables have no use here") }
        let start = position
        let path = try keyPath()
        guard take("]") else { throw failure("expected ']' after the table's name") }
        let name = path.joined(separator: ".")
        guard headers.insert(name).inserted else { throw failure("the table [\(name)] occurs twice", at: start) }
        try openTables(path, at: start)
        return path
    }

    private mutating func assignment(in table: [String]) throws(TOMLError) {
        let start = position
        let path = table + (try keyPath())
        guard take("=") else { throw failure("expected '=' after the key") }
        skipBlanks()
        let key = path.joined(separator: ".")
        guard values[key] == nil && !tables.contains(key) else {
            throw failure("the key \"\(key)\" occurs twice", at: start)
        }
        try openTables(Array(path.dropLast()), at: start)
        if peek == UInt8(ascii: "{") {
            try inlineTable(at: path)
        } else {
            values[key] = try value()
        }
    }

    private mutating func inlineTable(at path: [String]) throws(TOMLError) {
        guard depth < Self.depthLimit else { throw failure("nested deeper than \(Self.depthLimit) levels") }
        depth += 1
        defer { depth -= 1 }
        position += 1
        try openTables(path, at: position)
        skipBlanks()
        if !take("}") {
            repeat {
                skipBlanks()
                try assignment(in: path)
                skipBlanks()
            } while take(",")
            guard take("}") else { throw failure("expected ',' or '}' in the inline table") }
        }
        inlineTables.insert(path.joined(separator: "."))
    }

    /// Notes that all of a path are tables, unless one of them is a value or an inline table that has ended.
    private mutating func openTables(_ path: [String], at start: Int) throws(TOMLError) {
        var name = ""
        for part in path {
            name += name.isEmpty ? part : "." + part
            guard values[name] == nil else { throw failure("\"\(name)\" is a value, not a table", at: start) }
            guard !inlineTables.contains(name) else {
                throw failure("nothing can be added to the inline table \"\(name)\"", at: start)
            }
            tables.insert(name)
        }
    }

    private mutating func keyPath() throws(TOMLError) -> [String] {
        var path: [String] = []
        repeat {
            skipBlanks()
            path.append(try key())
            skipBlanks()
        } while take(".")
        return path
    }

    private mutating func key() throws(TOMLError) -> String {
        if peek == UInt8(ascii: "\"") || peek == UInt8(ascii: "'") {
            guard !follows("\"\"\"") && !follows("'''") else { throw failure("a key of several lines") }
            return try string()
        }
        let name = takeWhile { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard !name.isEmpty else { throw failure("expected a key") }
        return name
    }

    // MARK: - Values

    private mutating func value() throws(TOMLError) -> TOMLValue {
        switch peek {
        case nil, UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "#"): throw failure("expected a value")
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try string())
        case UInt8(ascii: "["): return .list(try list())
        case UInt8(ascii: "{"): throw failure("tables inside lists have no use here")
        default: return try word()
        }
    }

    private mutating func list() throws(TOMLError) -> [TOMLValue] {
        guard depth < Self.depthLimit else { throw failure("nested deeper than \(Self.depthLimit) levels") }
        depth += 1
        defer { depth -= 1 }
        position += 1
        var elements: [TOMLValue] = []
        repeat {
            try skipLines()
            if peek == UInt8(ascii: "]") { break }
            elements.append(try value())
            try skipLines()
        } while take(",")
        guard take("]") else { throw failure("expected ',' or ']' in the list") }
        return elements
    }

    /// A boolean or a number.
    private mutating func word() throws(TOMLError) -> TOMLValue {
        let start = position
        let text = takeWhile { byte in
            switch byte {
            case UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: "#"), UInt8(ascii: "="), 0...32:
                false
            default: true
            }
        }
        switch text {
        case "true": return .bool(true)
        case "false": return .bool(false)
        default: break
        }
        if let number = TOMLNumber.read(text) { return number }
        let isDate = text.prefix { $0.isNumber }.count == 4 && text.dropFirst(4).hasPrefix("-")
        throw failure(isDate ? "dates have no use here" : "\(text) is no value; a text stands in quotes", at: start)
    }

    // MARK: - Reading

    var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    var isAtNewline: Bool { peek == UInt8(ascii: "\n") || follows("\r\n") }

    func follows(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { bytes[position...].starts(with: $0) }
    }

    mutating func take(_ text: StaticString) -> Bool {
        guard follows(text) else { return false }
        position += text.utf8CodeUnitCount
        return true
    }

    mutating func takeWhile(_ isPart: (UInt8) -> Bool) -> String {
        let start = position
        while let byte = peek, isPart(byte) { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skipBlanks() {
        while let byte = peek, byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { position += 1 }
    }

    /// Passes blanks, comments and line ends.
    private mutating func skipLines() throws(TOMLError) {
        while true {
            skipBlanks()
            try skipComment()
            guard take("\n") || take("\r\n") else { return }
        }
    }

    private mutating func skipComment() throws(TOMLError) {
        guard peek == UInt8(ascii: "#") else { return }
        while let byte = peek, !isAtNewline {
            guard !Self.isControl(byte) else { throw failure("a control character in a comment") }
            position += 1
        }
    }

    /// Control characters that no comment and no string may hold.
    static func isControl(_ byte: UInt8) -> Bool { byte == 0x7F || (byte < 0x20 && byte != UInt8(ascii: "\t")) }

    func failure(_ problem: String, at place: Int? = nil) -> TOMLError {
        let before = bytes[..<(place ?? position)]
        let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        return TOMLError(
            line: before.count { $0 == UInt8(ascii: "\n") } + 1,
            column: String(decoding: before[lineStart...], as: UTF8.self).count + 1, problem: problem)
    }
}
