import Basics

/// The white space of a JSON text.
public enum JSONLayout: Sendable {
    /// No white space, as of Python's `json.dumps(value, separators=(",", ":"))`.
    case compact
    /// One line, with a space after commas and colons, as of Python's `json.dumps(value)`.
    case singleLine
    /// Four spaces of indentation and no newline at the end, as of Python's `json.dumps(value, indent=4)`.
    case indented
}

extension JSONValue {
    /// The document as text.
    ///
    /// - Parameters:
    ///   - layout: The white space.
    ///   - escapesNonASCII: Whether characters beyond ASCII are written as `\uXXXX`, as Python does by default.
    /// - Returns: The text, without a newline at its end.
    public func text(_ layout: JSONLayout, escapesNonASCII: Bool = true) -> String {
        var writer = JSONWriter(layout: layout, escapesNonASCII: escapesNonASCII)
        writer.append(self, indentation: "\n")
        return writer.text
    }

    /// The document in the form of the published schedule files: indented, ASCII.
    public var indentedText: String { text(.indented) }

    /// The document without white space, ASCII.
    public var compactText: String { text(.compact) }
}

private struct JSONWriter {
    let layout: JSONLayout
    let escapesNonASCII: Bool
    var text = ""

    /// `indentation` is the newline and spaces before the closing bracket of `value`.
    mutating func append(_ value: JSONValue, indentation: String) {
        switch value {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let literal): text += literal
        case .string(let value): append(quoted: value)
        case .array(let elements):
            appendList("[", elements, "]", indentation) { writer, element, inner in
                writer.append(element, indentation: inner)
            }
        case .object(let object):
            appendList("{", object.members, "}", indentation) { writer, member, inner in
                writer.append(quoted: member.key)
                writer.text += writer.layout == .compact ? ":" : ": "
                writer.append(member.value, indentation: inner)
            }
        }
    }

    private mutating func appendList<Element>(
        _ opening: String, _ elements: [Element], _ closing: String, _ indentation: String,
        _ appendElement: (inout JSONWriter, Element, String) -> Void
    ) {
        let inner = indentation + "    "
        text += opening
        for (position, element) in elements.enumerated() {
            switch layout {
            case .compact: text += position == 0 ? "" : ","
            case .singleLine: text += position == 0 ? "" : ", "
            case .indented: text += (position == 0 ? "" : ",") + inner
            }
            appendElement(&self, element, inner)
        }
        if layout == .indented, !elements.isEmpty { text += indentation }
        text += closing
    }

    private mutating func append(quoted value: String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar.value {
            case 0x22: text += "\\\""
            case 0x5C: text += "\\\\"
            case 0x08: text += "\\b"
            case 0x0C: text += "\\f"
            case 0x0A: text += "\\n"
            case 0x0D: text += "\\r"
            case 0x09: text += "\\t"
            case 0x20..<0x7F: text.unicodeScalars.append(scalar)
            case 0x7F... where !escapesNonASCII: text.unicodeScalars.append(scalar)
            default:
                for unit in String(scalar).utf16 {
                    text += "\\u" + String(unit, radix: 16).leftPadded(to: 4, with: "0")
                }
            }
        }
        text += "\""
    }
}
