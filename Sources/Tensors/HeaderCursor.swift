/// Reads the JSON of a safetensors header from bytes nobody has checked.
///
/// Only what the format needs: objects, strings, arrays of non-negative integers; anything else can be skipped. Every
/// number is bounded, nesting is limited, and each fault is an error with its position.
struct HeaderCursor {
    private static let deepestNesting = 32

    private let bytes: UnsafeRawBufferPointer
    private let file: String
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer, file: String) {
        self.bytes = bytes
        self.file = file
    }

    func fault(_ reason: String) -> TensorsError { .header(file: file, reason: "\(reason) at header byte \(position)") }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    /// Takes the character if it comes next.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    mutating func expect(_ character: Unicode.Scalar) throws {
        guard take(character) else { throw fault("expected '\(character)'") }
    }

    mutating func expectEnd() throws {
        skipSpace()
        guard position == bytes.count else { throw fault("expected the end") }
    }

    /// Reads `{"key": value, ...}`, calling `member` with each key and the cursor before its value.
    mutating func object(_ member: (String, inout HeaderCursor) throws -> Void) throws {
        try expect("{")
        if take("}") { return }
        repeat {
            let key = try string()
            try expect(":")
            try member(key, &self)
        } while take(",")
        try expect("}")
    }

    /// Reads `[1, 2, ...]`.
    mutating func integers() throws -> [Int] {
        var result: [Int] = []
        try expect("[")
        if take("]") { return result }
        repeat { result.append(try integer()) } while take(",")
        try expect("]")
        return result
    }

    /// Reads a non-negative integer without fraction or exponent.
    private mutating func integer() throws -> Int {
        skipSpace()
        var value = 0
        let start = position
        while position < bytes.count, case let digit = Int(bytes[position]) - 0x30, (0...9).contains(digit) {
            let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = product.addingReportingOverflow(digit)
            guard !tooLarge && !carried else { throw fault("number too large") }
            value = sum
            position += 1
        }
        guard position > start else { throw fault("expected a non-negative integer") }
        return value
    }

    /// Reads a string with its escapes.
    mutating func string() throws -> String {
        try expect("\"")
        var result: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: result, as: UTF8.self) else { throw fault("string not UTF-8") }
                return text
            case UInt8(ascii: "\\"): result.append(contentsOf: try escape())
            case 0..<0x20: throw fault("control character in a string")
            default: result.append(byte)
            }
        }
        throw fault("unterminated string")
    }

    private mutating func escape() throws -> [UInt8] {
        guard position < bytes.count else { throw fault("unterminated string") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return try unicodeEscape()
        default: throw fault("unknown escape")
        }
    }

    private mutating func unicodeEscape() throws -> [UInt8] {
        var code = try fourHexDigits()
        if (0xD800..<0xDC00).contains(code) {
            guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            else { throw fault("lone surrogate") }
            position += 2
            let low = try fourHexDigits()
            guard (0xDC00..<0xE000).contains(low) else { throw fault("lone surrogate") }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw fault("lone surrogate") }
        return Array(String(Character(scalar)).utf8)
    }

    private mutating func fourHexDigits() throws -> UInt32 {
        guard position + 4 <= bytes.count else { throw fault("unterminated string") }
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                throw fault("expected a hexadecimal digit")
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    /// Skips any value, for keys that later versions of the format may add.
    mutating func skipValue(depth: Int = 0) throws {
        guard depth < Self.deepestNesting else { throw fault("nested too deeply") }
        skipSpace()
        guard position < bytes.count else { throw fault("expected a value") }
        switch bytes[position] {
        case UInt8(ascii: "{"): try object { _, cursor in try cursor.skipValue(depth: depth + 1) }
        case UInt8(ascii: "["):
            try expect("[")
            if take("]") { return }
            repeat { try skipValue(depth: depth + 1) } while take(",")
            try expect("]")
        case UInt8(ascii: "\""): _ = try string()
        default: try skipLiteral()
        }
    }

    /// Skips a number, `true`, `false` or `null`, without caring which.
    private mutating func skipLiteral() throws {
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"),
                UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
                position += 1
            default:
                guard position > start else { throw fault("expected a value") }
                return
            }
        }
    }
}
