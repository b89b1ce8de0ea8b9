import Basics

/// A pull parser for one JSON document (RFC 8259) from an untrusted source.
///
/// Time and memory are linear in the document. Duplicate keys are errors, because other parsers disagree on which of
/// the values counts; nesting is limited to 64 levels, so that no document can exhaust the stack.
package struct JSONReader {
    private static let depthLimit = 64

    private let bytes: [UInt8]
    private let file: String
    private let acceptsInfinity: Bool
    private var position = 0
    private var depth = 0

    /// Starts before the document's root value.
    ///
    /// - Parameters:
    ///   - bytes: The document, UTF-8.
    ///   - file: The name used in errors.
    ///   - acceptsInfinity: Whether `Infinity`, `-Infinity` and `NaN`, which Python writes, count as numbers.
    package init(_ bytes: [UInt8], file: String, acceptsInfinity: Bool = false) {
        self.bytes = bytes
        self.file = file
        self.acceptsInfinity = acceptsInfinity
    }

    // MARK: - Values

    /// Reads an object; `member` gets each key and must read its value.
    package mutating func object(
        _ member: (String, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        try open(UInt8(ascii: "{"), "an object")
        var keys: Set<String> = []
        skipWhitespace()
        if !take(UInt8(ascii: "}")) {
            repeat {
                skipWhitespace()
                guard peek == UInt8(ascii: "\"") else { throw failure("expected a quoted key") }
                let key = try string()
                guard keys.insert(key).inserted else { throw failure("the key \"\(key)\" occurs twice") }
                skipWhitespace()
                guard take(UInt8(ascii: ":")) else { throw failure("expected ':' after the key \"\(key)\"") }
                try member(key, &self)
                skipWhitespace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "}")) else { throw failure("expected ',' or '}'") }
        }
        depth -= 1
    }

    /// Reads an array; `element` must read each element.
    package mutating func array(_ element: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        try open(UInt8(ascii: "["), "an array")
        skipWhitespace()
        if !take(UInt8(ascii: "]")) {
            repeat {
                try element(&self)
                skipWhitespace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "]")) else { throw failure("expected ',' or ']'") }
        }
        depth -= 1
    }

    package mutating func string() throws(JSONError) -> String {
        skipWhitespace()
        guard take(UInt8(ascii: "\"")) else { throw failure("expected a string") }
        var text: [UInt8] = []
        while true {
            let start = position
            while position < bytes.count, bytes[position] >= 0x20, bytes[position] != UInt8(ascii: "\""),
                bytes[position] != UInt8(ascii: "\\")
            {
                position += 1
            }
            text += bytes[start..<position]
            switch peek {
            case UInt8(ascii: "\""):
                position += 1
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw failure("a string that is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"):
                position += 1
                text += try escape()
            case nil: throw failure("an unterminated string")
            default: throw failure("an unescaped control character in a string")
            }
        }
    }

    /// Reads an integer of 0 or more, without a fraction or exponent.
    package mutating func naturalNumber() throws(JSONError) -> Int {
        skipWhitespace()
        let start = position
        let literal = try number()
        guard let value = Int(literal), !literal.hasPrefix("-") else {
            position = start
            throw failure("expected an integer from 0 to \(Int.max), found \(literal)")
        }
        return value
    }

    package mutating func value() throws(JSONError) -> JSONValue {
        skipWhitespace()
        switch peek {
        case UInt8(ascii: "{"):
            var members: [JSONObject.Member] = []
            try object { (key, reader) throws(JSONError) in
                members.append(JSONObject.Member(key: key, value: try reader.value()))
            }
            return .object(JSONObject(distinct: members))
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try array { (reader) throws(JSONError) in elements.append(try reader.value()) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case nil: throw failure("the text ends where a value is expected")
        default:
            if acceptsInfinity, let word = ["Infinity", "-Infinity", "NaN"].first(where: { follows($0) }) {
                position += word.utf8.count
                return .number(word)
            }
            return .number(try number())
        }
    }

    /// Checks the syntax of a value without storing it.
    package mutating func skipValue() throws(JSONError) {
        skipWhitespace()
        switch peek {
        case UInt8(ascii: "{"): try object { (_, reader) throws(JSONError) in try reader.skipValue() }
        case UInt8(ascii: "["): try array { (reader) throws(JSONError) in try reader.skipValue() }
        default: _ = try value()
        }
    }

    /// Checks that nothing but white space follows.
    package mutating func finish() throws(JSONError) {
        skipWhitespace()
        guard peek == nil else { throw failure("unexpected text after the end of the document") }
    }

    /// A syntax error at the current position.
    package func failure(_ problem: String) -> JSONError {
        let before = bytes[..<position]
        let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        return .syntax(
            file: file, line: before.count { $0 == 0x0A } + 1, column: position - lineStart + 1, problem: problem)
    }

    // MARK: - Tokens

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func open(_ bracket: UInt8, _ expected: String) throws(JSONError) {
        skipWhitespace()
        guard depth < Self.depthLimit else { throw failure("nested deeper than \(Self.depthLimit) levels") }
        guard take(bracket) else { throw failure("expected \(expected)") }
        depth += 1
    }

    /// Reads the rest of an escape sequence after its backslash; returns UTF-8.
    private mutating func escape() throws(JSONError) -> [UInt8] {
        guard let byte = peek else { throw failure("an unterminated string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            var unit = try hexadecimalUnit()
            if (0xD800..<0xDC00).contains(unit), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
                let low = try hexadecimalUnit()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("a lone surrogate") }
                unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(unit) else { throw failure("a lone surrogate") }
            return Array(String(Character(scalar)).utf8)
        default: throw failure("an unknown escape in a string")
        }
    }

    private mutating func hexadecimalUnit() throws(JSONError) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = peek?.hexadecimalValue else { throw failure("\\u without four hexadecimal digits") }
            unit = unit << 4 + UInt32(digit)
            position += 1
        }
        return unit
    }

    /// Reads a number and returns it as written.
    private mutating func number() throws(JSONError) -> String {
        let start = position
        _ = take(UInt8(ascii: "-"))
        let leadingZero = peek == UInt8(ascii: "0")
        let whole = digits()
        guard whole > 0 else {
            position = start
            throw failure("expected a value")
        }
        guard !leadingZero || whole == 1 else { throw failure("a number with a leading zero") }
        if take(UInt8(ascii: ".")) {
            guard digits() > 0 else { throw failure("a number without digits after the point") }
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            guard digits() > 0 else { throw failure("a number without digits in its exponent") }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func digits() -> Int {
        let start = position
        while let byte = peek, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
        return position - start
    }

    private mutating func literal(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard follows(text) else { throw failure("expected a value") }
        position += text.utf8.count
        return value
    }

    private func follows(_ text: String) -> Bool { bytes[position...].starts(with: text.utf8) }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        position += 1
        return true
    }

    private mutating func skipWhitespace() {
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            position += 1
        }
    }
}
