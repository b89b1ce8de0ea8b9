/// Reader of comma- and tab-separated records (RFC 4180), equal to Python's `csv.reader(strict=True)`.
///
/// A quote is special only at the beginning of a field; line ends (LF, CRLF or CR) inside quotes are part of the field.
/// Text that Python's default mode would repair (an unterminated field, text after a closing quote) is an error.
enum DelimitedText {
    /// The fields of a record and the line on which it begins, from 1; a blank line has no fields.
    struct Record {
        let line: Int
        let fields: [String]
    }

    /// - Parameters:
    ///   - bytes: Valid UTF-8.
    ///   - separator: An ASCII character.
    ///   - allowsQuotes: Whether quotes are special (Python: `QUOTE_MINIMAL`, otherwise `QUOTE_NONE`).
    ///   - file: Name in errors.
    /// - Returns: The records in the order of the text.
    /// - Throws: ``PromptSetError/line(file:line:problem:)`` for damaged quoting.
    static func records(
        of bytes: [UInt8], separator: UInt8, allowsQuotes: Bool, file: String
    ) throws(PromptSetError) -> [Record] {
        enum State { case fieldStart, unquoted, quoted, quoteInQuoted }
        let quote = UInt8(ascii: "\"")
        var records: [Record] = []
        var (fields, field): ([String], [UInt8]) = ([], [])
        var state = State.fieldStart
        var (line, recordLine, quoteLine, position) = (1, 1, 1, 0)
        func endField() {
            fields.append(String(decoding: field, as: UTF8.self))
            field.removeAll(keepingCapacity: true)
            state = .fieldStart
        }
        func endRecord() {
            if state != .fieldStart || !fields.isEmpty { endField() }
            records.append(Record(line: recordLine, fields: fields))
            fields = []
        }
        while position < bytes.count {
            let byte = bytes[position]
            let isPair = byte == 0x0D && position + 1 < bytes.count && bytes[position + 1] == 0x0A
            let length = isPair ? 2 : 1
            defer { position += length }
            if byte == 0x0A || byte == 0x0D {
                line += 1
                if state == .quoted {
                    field += bytes[position..<(position + length)]
                } else {
                    endRecord()
                    recordLine = line
                }
                continue
            }
            switch state {
            case .quoted where byte == quote: state = .quoteInQuoted
            case .quoted: field.append(byte)
            case .quoteInQuoted where byte == quote:
                field.append(quote)
                state = .quoted
            case _ where byte == separator: endField()
            case .quoteInQuoted:
                throw .line(
                    file: file, line: line,
                    problem:
                        "text after a closing quote; expected a separator (write \"\" for a quote in a quoted field)")
            case .fieldStart where allowsQuotes && byte == quote:
                state = .quoted
                quoteLine = line
            case .fieldStart, .unquoted:
                field.append(byte)
                state = .unquoted
            }
        }
        guard state != .quoted else {
            throw .line(file: file, line: quoteLine, problem: "unterminated quoted field; expected a closing \"")
        }
        if state != .fieldStart || !fields.isEmpty { endRecord() }
        return records
    }
}
