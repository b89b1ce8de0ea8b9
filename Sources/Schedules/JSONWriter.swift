extension JSONValue {
    /// The document as the published files have it: 4 spaces of indentation, ASCII, no newline at the end.
    ///
    /// That is the form of Python's `json.dump(value, file, indent=4)`.
    public var indentedText: String {
        var text = ""
        append(to: &text, indentation: "\n")
        return text
    }

    /// The document without any white space, ASCII.
    public var compactText: String {
        var text = ""
        append(to: &text, indentation: nil)
        return text
    }

    /// Appends the document, with each member on a line of its own where there is an indentation.
    private func append(to text: inout String, indentation: String?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let literal): text += literal
        case .string(let value): Self.append(quoted: value, to: &text)
        case .array(let elements):
            let inner = indentation.map { $0 + "    " }
            text += "["
            for (position, element) in elements.enumerated() {
                text += (position == 0 ? "" : ",") + (inner ?? "")
                element.append(to: &text, indentation: inner)
            }
            text += elements.isEmpty ? "]" : (indentation ?? "") + "]"
        case .object(let object):
            let inner = indentation.map { $0 + "    " }
            text += "{"
            for (position, member) in object.members.enumerated() {
                text += (position == 0 ? "" : ",") + (inner ?? "")
                Self.append(quoted: member.key, to: &text)
                text += inner == nil ? ":" : ": "
                member.value.append(to: &text, indentation: inner)
            }
            text += object.isEmpty ? "}" : (indentation ?? "") + "}"
        }
    }

    private static func append(quoted value: String, to text: inout String) {
        text += "\""
        for unit in value.utf16 {
            switch unit {
            case 0x22: text += "\\\""
            case 0x5C: text += "\\\\"
            case 0x08: text += "\\b"
            case 0x0C: text += "\\f"
            case 0x0A: text += "\\n"
            case 0x0D: text += "\\r"
            case 0x09: text += "\\t"
            case 0x20..<0x7F: text.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
            default: text += "\\u" + String(unit, radix: 16).leftPadded(to: 4)
            }
        }
        text += "\""
    }
}

extension String {
    /// The string with zeros put before it up to a length.
    func leftPadded(to length: Int) -> String {
        String(repeating: "0", count: max(0, length - count)) + self
    }
}
