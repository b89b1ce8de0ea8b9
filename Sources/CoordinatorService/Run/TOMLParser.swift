/// A TOML syntax error with its position.
struct TOMLError: Error, Equatable, CustomStringConvertible {
    /// 1-based; columns count characters.
    let line: Int
    let column: Int
    let problem: String

    var description: String { "line \(line), column \(column): \(problem)" }
}

/// Parses the part of TOML 1.0 (toml.io) that configurations need: tables, dotted and quoted keys, all kinds of strings,
/// numbers, booleans, arrays and inline tables.
///
/// Dates, arrays of tables and tables inside arrays are errors. The project has its own parser because toml++, on which
/// TOMLKit 0.6.0 builds, aborts the process on malformed input, in release builds too: `[=` is enough.
struct TOMLParser {
    /// Deepest nesting accepted, so that no input can exhaust the stack.
    private static let maxDepth = 64

    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0
    private var values: [String: TOMLValue] = [:]
    private var tables: Set<String> = []
    private var headers: Set<String> = []
    private var inlineTables: Set<String> = []

    /// Parses a document into values under dotted keys such as `search.population`.
    static func parse(_ text: String) throws(TOMLError) -> [String: TOMLValue] {
        var parser = TOMLParser(text)
        try parser.parseDocument()
        return parser.values
    }

    /// Parses a text that consists of one value.
    static func parseValue(_ text: String) throws(TOMLError) -> TOMLValue {
        var parser = TOMLParser(text)
        parser.skipBlanks()
        let value = try parser.parseValue()
        parser.skipBlanks()
        guard parser.next == nil else { throw parser.error("unexpected text after the value") }
        return value
    }

    private init(_ text: String) { bytes = Array(text.utf8) }

    // MARK: - Structure

    private mutating func parseDocument() throws(TOMLError) {
        var table: [String] = []
        while true {
            try skipLines()
            guard let byte = next else { return }
            if byte == UInt8(ascii: "[") {
                table = try parseHeader()
            } else {
                try parseAssignment(in: table)
            }
            skipBlanks()
            try skipComment()
            guard next == nil || isAtNewline else { throw error("expected end of line") }
        }
    }

    private mutating func parseHeader() throws(TOMLError) -> [String] {
        position += 1
        guard next != UInt8(ascii: "[") else { throw error("arrays of tables are not supported") }
        let start = position
        let path = try parseKeyPath()
        guard consume("]") else { throw error("expected ']' after the table name") }
        let name = path.joined(separator: ".")
        guard headers.insert(name).inserted else { throw error("duplicate table [\(name)]", at: start) }
        try openTables(path, at: start)
        return path
    }

    private mutating func parseAssignment(in table: [String]) throws(TOMLError) {
        let start = position
        let path = table + (try parseKeyPath())
        guard consume("=") else { throw error("expected '=' after the key") }
        skipBlanks()
        let key = path.joined(separator: ".")
        guard values[key] == nil && !tables.contains(key) else { throw error("duplicate key \"\(key)\"", at: start) }
        try openTables(Array(path.dropLast()), at: start)
        if next == UInt8(ascii: "{") {
            try parseInlineTable(at: path)
        } else {
            values[key] = try parseValue()
        }
    }

    private mutating func parseInlineTable(at path: [String]) throws(TOMLError) {
        guard depth < Self.maxDepth else { throw error("nested deeper than \(Self.maxDepth) levels") }
        depth += 1
        defer { depth -= 1 }
        position += 1
        try openTables(path, at: position)
        skipBlanks()
        if !consume("}") {
            repeat {
                skipBlanks()
                try parseAssignment(in: path)
                skipBlanks()
            } while consume(",")
            guard consume("}") else { throw error("expected ',' or '}' in the inline table") }
        }
        inlineTables.insert(path.joined(separator: "."))
    }

    /// Declares every prefix of a path as a table; an error if one is a value or a complete inline table.
    private mutating func openTables(_ path: [String], at start: Int) throws(TOMLError) {
        var name = ""
        for part in path {
            name += name.isEmpty ? part : "." + part
            guard values[name] == nil else { throw error("\"\(name)\" is a value, not a table", at: start) }
            guard !inlineTables.contains(name) else {
                throw error("the inline table \"\(name)\" cannot be extended", at: start)
            }
            tables.insert(name)
        }
    }

    private mutating func parseKeyPath() throws(TOMLError) -> [String] {
        var path: [String] = []
        repeat {
            skipBlanks()
            path.append(try parseKey())
            skipBlanks()
        } while consume(".")
        return path
    }

    private mutating func parseKey() throws(TOMLError) -> String {
        if next == UInt8(ascii: "\"") || next == UInt8(ascii: "'") {
            guard !isLookingAt("\"\"\"") && !isLookingAt("'''") else { throw error("a key cannot span lines") }
            return try parseString()
        }
        let name = consumeWhile { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard !name.isEmpty else { throw error("expected a key") }
        return name
    }

    // MARK: - Values

    private mutating func parseValue() throws(TOMLError) -> TOMLValue {
        switch next {
        case nil, UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "#"): throw error("expected a value")
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try parseString())
        case UInt8(ascii: "["): return .array(try parseArray())
        case UInt8(ascii: "{"): throw error("tables inside arrays are not supported")
        default: return try parseWord()
        }
    }

    private mutating func parseArray() throws(TOMLError) -> [TOMLValue] {
        guard depth < Self.maxDepth else { throw error("nested deeper than \(Self.maxDepth) levels") }
        depth += 1
        defer { depth -= 1 }
        position += 1
        var elements: [TOMLValue] = []
        repeat {
            try skipLines()
            if next == UInt8(ascii: "]") { break }
            elements.append(try parseValue())
            try skipLines()
        } while consume(",")
        guard consume("]") else { throw error("expected ',' or ']' in the array") }
        return elements
    }

    /// Parses a boolean or a number.
    private mutating func parseWord() throws(TOMLError) -> TOMLValue {
        let start = position
        let text = consumeWhile { byte in
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
        if let number = TOMLValue(number: text) { return number }
        let isDate = text.prefix { $0.isNumber }.count == 4 && text.dropFirst(4).hasPrefix("-")
        throw error(
            isDate ? "dates are not supported" : "invalid value \(text); strings must be quoted", at: start)
    }

    // MARK: - Strings

    /// Parses a basic or literal string, on one line or several, starting at its opening quote.
    private mutating func parseString() throws(TOMLError) -> String {
        if consume("\"\"\"") {
            return try parseMultilineString(end: "\"\"\"", quote: UInt8(ascii: "\""), hasEscapes: true)
        }
        if consume("'''") { return try parseMultilineString(end: "'''", quote: UInt8(ascii: "'"), hasEscapes: false) }
        let hasEscapes = next == UInt8(ascii: "\"")
        let quote = hasEscapes ? UInt8(ascii: "\"") : UInt8(ascii: "'")
        let start = position
        position += 1
        var text: [UInt8] = []
        while let byte = next, !isAtNewline {
            if byte == quote {
                position += 1
                return String(decoding: text, as: UTF8.self)
            }
            try parseStringElement(hasEscapes: hasEscapes, into: &text)
        }
        throw error("unterminated string", at: start)
    }

    private mutating func parseMultilineString(
        end: StaticString, quote: UInt8, hasEscapes: Bool
    ) throws(TOMLError) -> String {
        let start = position
        // A newline right after the opening quotes is not part of the string.
        if !consume("\n") { _ = consume("\r\n") }
        var text: [UInt8] = []
        while next != nil {
            if consume(end) {
                // Up to two quotes may precede the closing ones.
                for _ in 0..<2 where next == quote {
                    text.append(quote)
                    position += 1
                }
                return String(decoding: text, as: UTF8.self)
            }
            if hasEscapes && consumeLineContinuation() { continue }
            if consume("\r\n") || consume("\n") {
                text.append(UInt8(ascii: "\n"))
            } else {
                try parseStringElement(hasEscapes: hasEscapes, into: &text)
            }
        }
        throw error("unterminated string", at: start)
    }

    /// Skips a backslash at the end of a line and all white space after it.
    private mutating func consumeLineContinuation() -> Bool {
        let start = position
        guard consume("\\") else { return false }
        var hasNewline = false
        while let byte = next, byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || isAtNewline {
            hasNewline = hasNewline || isAtNewline
            position += isLookingAt("\r\n") ? 2 : 1
        }
        if !hasNewline { position = start }
        return hasNewline
    }

    /// Appends one byte or one escaped character.
    private mutating func parseStringElement(hasEscapes: Bool, into text: inout [UInt8]) throws(TOMLError) {
        guard let byte = next else { return }
        guard !Self.isControl(byte) else { throw error("control character in a string") }
        if hasEscapes && byte == UInt8(ascii: "\\") {
            text += Array(String(try parseEscape()).utf8)
        } else {
            text.append(byte)
            position += 1
        }
    }

    private mutating func parseEscape() throws(TOMLError) -> Character {
        let start = position
        position += 1
        let letter = next
        position += letter == nil ? 0 : 1
        switch letter {
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "u"): return try parseUnicodeScalar(digitCount: 4, start: start)
        case UInt8(ascii: "U"): return try parseUnicodeScalar(digitCount: 8, start: start)
        default: throw error("invalid escape sequence; a backslash is written \\\\", at: start)
        }
    }

    private mutating func parseUnicodeScalar(digitCount: Int, start: Int) throws(TOMLError) -> Character {
        var remaining = digitCount
        let digits = consumeWhile { byte in
            remaining -= 1
            return remaining >= 0 && Character(UnicodeScalar(byte)).isHexDigit
        }
        guard digits.utf8.count == digitCount, let scalar = UInt32(digits, radix: 16).flatMap(UnicodeScalar.init) else {
            throw error("expected a Unicode scalar value of \(digitCount) hexadecimal digits", at: start)
        }
        return Character(scalar)
    }

    // MARK: - Scanning

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private var isAtNewline: Bool { next == UInt8(ascii: "\n") || isLookingAt("\r\n") }

    private func isLookingAt(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { bytes[position...].starts(with: $0) }
    }

    private mutating func consume(_ text: StaticString) -> Bool {
        guard isLookingAt(text) else { return false }
        position += text.utf8CodeUnitCount
        return true
    }

    private mutating func consumeWhile(_ isPart: (UInt8) -> Bool) -> String {
        let start = position
        while let byte = next, isPart(byte) { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skipBlanks() {
        while let byte = next, byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { position += 1 }
    }

    /// Skips blanks, comments and newlines.
    private mutating func skipLines() throws(TOMLError) {
        while true {
            skipBlanks()
            try skipComment()
            guard consume("\n") || consume("\r\n") else { return }
        }
    }

    private mutating func skipComment() throws(TOMLError) {
        guard next == UInt8(ascii: "#") else { return }
        while let byte = next, !isAtNewline {
            guard !Self.isControl(byte) else { throw error("control character in a comment") }
            position += 1
        }
    }

    /// Whether a byte is a control character, which neither comments nor strings may contain.
    private static func isControl(_ byte: UInt8) -> Bool {
        byte == 0x7F || (byte < 0x20 && byte != UInt8(ascii: "\t"))
    }

    private func error(_ problem: String, at offset: Int? = nil) -> TOMLError {
        let before = bytes[..<(offset ?? position)]
        let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        return TOMLError(
            line: before.count { $0 == UInt8(ascii: "\n") } + 1,
            column: String(decoding: before[lineStart...], as: UTF8.self).count + 1, problem: problem)
    }
}
