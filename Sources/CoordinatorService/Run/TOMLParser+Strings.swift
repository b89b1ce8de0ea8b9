extension TOMLParser {
    /// A string of any of the four kinds, from its opening quote on.
    mutating func string() throws(TOMLError) -> String {
        if take("\"\"\"") { return try multilineString(end: "\"\"\"", quote: UInt8(ascii: "\""), hasEscapes: true) }
        if take("'''") { return try multilineString(end: "'''", quote: UInt8(ascii: "'"), hasEscapes: false) }
        let hasEscapes = peek == UInt8(ascii: "\"")
        let quote = hasEscapes ? UInt8(ascii: "\"") : UInt8(ascii: "'")
        let start = position
        position += 1
        var text: [UInt8] = []
        while let byte = peek, !isAtNewline {
            if byte == quote {
                position += 1
                return String(decoding: text, as: UTF8.self)
            }
            try element(hasEscapes: hasEscapes, into: &text)
        }
        throw failure("a string without an end", at: start)
    }

    private mutating func multilineString(
        end: StaticString, quote: UInt8, hasEscapes: Bool
    ) throws(TOMLError) -> String {
        let start = position
        // A line end right after the opening quotes belongs to the layout.
        if !take("\n") { _ = take("\r\n") }
        var text: [UInt8] = []
        while peek != nil {
            if take(end) {
                // Up to two quotes may stand before the closing ones.
                for _ in 0..<2 where peek == quote {
                    text.append(quote)
                    position += 1
                }
                return String(decoding: text, as: UTF8.self)
            }
            if hasEscapes && takeLineContinuation() { continue }
            if take("\r\n") || take("\n") {
                text.append(UInt8(ascii: "\n"))
            } else {
                try element(hasEscapes: hasEscapes, into: &text)
            }
        }
        throw failure("a string without an end", at: start)
    }

    /// A backslash at the end of a line swallows the white space up to the next text.
    private mutating func takeLineContinuation() -> Bool {
        let start = position
        guard take("\\") else { return false }
        var hasLineEnd = false
        while let byte = peek, byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || isAtNewline {
            hasLineEnd = hasLineEnd || isAtNewline
            position += follows("\r\n") ? 2 : 1
        }
        if !hasLineEnd { position = start }
        return hasLineEnd
    }

    /// One byte or one escape.
    private mutating func element(hasEscapes: Bool, into text: inout [UInt8]) throws(TOMLError) {
        guard let byte = peek else { return }
        guard !Self.isControl(byte) else { throw failure("a control character in a string") }
        if hasEscapes && byte == UInt8(ascii: "\\") {
            text += Array(String(try escape()).utf8)
        } else {
            text.append(byte)
            position += 1
        }
    }

    private mutating func escape() throws(TOMLError) -> Character {
        let start = position
        position += 1
        let letter = peek
        position += letter == nil ? 0 : 1
        switch letter {
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "u"): return try unicode(digitCount: 4, start: start)
        case UInt8(ascii: "U"): return try unicode(digitCount: 8, start: start)
        default: throw failure("an unknown escape; a backslash is written \\\\", at: start)
        }
    }

    private mutating func unicode(digitCount: Int, start: Int) throws(TOMLError) -> Character {
        var left = digitCount
        let digits = takeWhile { byte in
            left -= 1
            return left >= 0 && Character(UnicodeScalar(byte)).isHexDigit
        }
        guard digits.utf8.count == digitCount, let scalar = UInt32(digits, radix: 16).flatMap(UnicodeScalar.init) else {
            throw failure("expected a character's number in \(digitCount) hexadecimal digits", at: start)
        }
        return Character(scalar)
    }
}
