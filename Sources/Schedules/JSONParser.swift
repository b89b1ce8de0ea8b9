/// Reads one JSON document (RFC 8259), keeping the order of keys and the spelling of numbers.
///
/// Duplicate keys are refused: readers differ in which of the two they take. Where wanted, Python's numbers that JSON
/// lacks are accepted too: samplers' configurations hold them.
struct JSONParser {
    /// Deepest nesting accepted, so that no document can exhaust the stack.
    static let depthLimit = 64

    private let bytes: [UInt8]
    private let file: String
    private let acceptsInfinity: Bool
    private var position = 0
    private var depth = 0

    /// Parses a document; `acceptsInfinity` lets `Infinity`, `-Infinity` and `NaN` stand for numbers.
    ///
    /// - Throws: ``SchedulesError/invalidJSON(file:line:column:problem:)``.
    static func parse(
        _ bytes: [UInt8], file: String, acceptsInfinity: Bool = false
    ) throws(SchedulesError) -> JSONValue {
        var parser = JSONParser(bytes: bytes, file: file, acceptsInfinity: acceptsInfinity)
        let value = try parser.value()
        parser.skipWhitespace()
        guard parser.peek == nil else { throw parser.failure("more text after the document's end") }
        return value
    }

    private init(bytes: [UInt8], file: String, acceptsInfinity: Bool) {
        self.bytes = bytes
        self.file = file
        self.acceptsInfinity = acceptsInfinity
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func value() throws(SchedulesError) -> JSONValue {
        skipWhitespace()
        guard depth < Self.depthLimit else { throw failure("nested deeper than \(Self.depthLimit) levels") }
        if acceptsInfinity, let word = ["Infinity", "-Infinity", "NaN"].first(where: { follows($0) }) {
            position += word.utf8.count
            return .number(word)
        }
        switch peek {
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case nil: throw failure("the text ends where a value should stand")
        default: return .number(try number())
        }
    }

    private mutating func object() throws(SchedulesError) -> JSONObject {
        depth += 1
        defer { depth -= 1 }
        position += 1
        var members: [JSONObject.Member] = []
        var keys: Set<String> = []
        skipWhitespace()
        if take(UInt8(ascii: "}")) { return JSONObject() }
        repeat {
            skipWhitespace()
            guard peek == UInt8(ascii: "\"") else { throw failure("expected a quoted key") }
            let key = try string()
            guard keys.insert(key).inserted else { throw failure("the key \"\(key)\" occurs twice") }
            skipWhitespace()
            guard take(UInt8(ascii: ":")) else { throw failure("expected ':' after the key \"\(key)\"") }
            members.append(JSONObject.Member(key: key, value: try value()))
            skipWhitespace()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw failure("expected ',' or '}'") }
        return JSONObject(distinct: members)
    }

    private mutating func array() throws(SchedulesError) -> [JSONValue] {
        depth += 1
        defer { depth -= 1 }
        position += 1
        var elements: [JSONValue] = []
        skipWhitespace()
        if take(UInt8(ascii: "]")) { return elements }
        repeat {
            elements.append(try value())
            skipWhitespace()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw failure("expected ',' or ']'") }
        return elements
    }

    private mutating func string() throws(SchedulesError) -> String {
        position += 1
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
            case nil: throw failure("a string without an end")
            default: throw failure("an unescaped control character in a string")
            }
        }
    }

    private mutating func escape() throws(SchedulesError) -> [UInt8] {
        guard let byte = peek else { throw failure("a string without an end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            var unit = try hexadecimal()
            if (0xD800..<0xDC00).contains(unit), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("half of a surrogate pair") }
                unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(unit) else { throw failure("half of a surrogate pair") }
            return Array(String(Character(scalar)).utf8)
        default: throw failure("an unknown escape in a string")
        }
    }

    private mutating func hexadecimal() throws(SchedulesError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("\\u without four hexadecimal digits")
            }
            value = value << 4 + UInt32(digit)
            position += 1
        }
        return value
    }

    private mutating func number() throws(SchedulesError) -> String {
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

    private mutating func literal(_ text: StaticString, _ value: JSONValue) throws(SchedulesError) -> JSONValue {
        let expected = String(describing: text)
        guard follows(expected) else { throw failure("expected a value") }
        position += expected.utf8.count
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

    private func failure(_ problem: String) -> SchedulesError {
        let before = bytes[..<position]
        let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        return .invalidJSON(
            file: file, line: before.count { $0 == 0x0A } + 1, column: position - lineStart + 1, problem: problem)
    }
}

extension JSONValue {
    /// Parses a JSON document.
    ///
    /// - Parameters:
    ///   - bytes: The document, UTF-8.
    ///   - file: What an error message calls it.
    /// - Throws: ``SchedulesError/invalidJSON(file:line:column:problem:)``, also for keys that occur twice in an
    ///   object and for nesting deeper than 64 levels.
    public init(parsing bytes: some Sequence<UInt8>, file: String) throws(SchedulesError) {
        self = try JSONParser.parse(Array(bytes), file: file)
    }
}
