/// Rows as lines of left-aligned columns, two spaces apart; each line ends in a newline.
///
/// Control characters in cells are escaped, so that a cell is one line and cannot command the terminal.
///
/// - Parameters:
///   - rows: Cells by row; the first row is usually the header.
///   - isNumeric: For each column whether its cells are aligned to the right.
/// - Returns: The lines, without spaces at their ends.
package func alignedTable(_ rows: [[String]], isNumeric: [Bool]) -> String {
    let rows = rows.map { $0.map(\.terminalEscaped) }
    let widths = isNumeric.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
        let cells = row.enumerated().map { column, cell in
            isNumeric[column]
                ? cell.leftPadded(to: widths[column]) : cell.rightPadded(to: widths[column])
        }
        return cells.joined(separator: "  ").trimmingTrailingSpaces() + "\n"
    }.joined()
}

/// A duration rounded up to seconds, or minutes from one hour on: "42s", "3m10s", "2h05m"; "--" if not finite.
package func durationText(seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e8 else { return "--" }
    func twoDigits(_ value: Int) -> String { "\(value)".leftPadded(to: 2, with: "0") }
    let total = Int(seconds.rounded(.up))
    if total < 60 { return "\(total)s" }
    if total < 3600 { return "\(total / 60)m\(twoDigits(total % 60))s" }
    return "\(total / 3600)h\(twoDigits(total / 60 % 60))m"
}

extension Int {
    /// With commas between groups of three digits: "1,152".
    package var groupedText: String {
        let digits = Array("\(magnitude)")
        let groups = digits.indices.map { index in
            (index > 0 && (digits.count - index) % 3 == 0 ? "," : "") + String(digits[index])
        }
        return (self < 0 ? "-" : "") + groups.joined()
    }

    /// The number with a noun whose plural ends in s: "1 thread", "2 threads".
    package func counted(_ noun: String) -> String { self == 1 ? "1 \(noun)" : "\(self) \(noun)s" }
}

extension String {
    package func leftPadded(to length: Int, with character: Character = " ") -> String {
        String(repeating: character, count: max(0, length - count)) + self
    }

    package func rightPadded(to length: Int) -> String {
        self + String(repeating: " ", count: max(0, length - count))
    }

    package func trimmingTrailingSpaces() -> String {
        var end = endIndex
        while end > startIndex, self[index(before: end)] == " " { end = index(before: end) }
        return String(self[..<end])
    }
}

// MARK: - Escaping

extension String {
    /// The text with escapes such as `\n` and `\u{1b}` for what a terminal does not print: control characters, line
    /// separators, and marks that reorder text.
    package var terminalEscaped: String { escaped(keepingNewlines: false) }

    /// ``terminalEscaped`` for a message of several lines.
    package var terminalEscapedLines: String { escaped(keepingNewlines: true) }

    private func escaped(keepingNewlines: Bool) -> String {
        guard unicodeScalars.contains(where: \.isUnprintable) else { return self }
        return unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "\n" where keepingNewlines: result.unicodeScalars.append(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.isUnprintable: result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }

    /// The text as XML character data in one line: white space becomes spaces, and characters that XML forbids or that
    /// reorder text become U+FFFD.
    package var xmlEscaped: String {
        unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case _ where scalar.properties.isWhitespace: result += " "
            case _ where scalar.isUnprintable || scalar.value & 0xFFFE == 0xFFFE: result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }

    /// The text as a field of a CSV file (RFC 4180).
    package var csvField: String {
        // By scalars: "\r\n" is one Character.
        guard unicodeScalars.contains(where: { ",\"\r\n".unicodeScalars.contains($0) }) else { return self }
        return "\"" + unicodeScalars.map { $0 == "\"" ? "\"\"" : String($0) }.joined() + "\""
    }

    /// The text as a cell of a Markdown table (GitHub's dialect): line breaks become `<br>`.
    package var markdownCell: String {
        let lines = split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        return lines.map { line in
            String(line).terminalEscaped.unicodeScalars.reduce(into: "") { result, scalar in
                switch scalar {
                case "\\", "|", "*", "`": result += "\\\(scalar)"
                case "<": result += "&lt;"
                case "&": result += "&amp;"
                default: result.unicodeScalars.append(scalar)
                }
            }
        }.joined(separator: "<br>")
    }
}

extension Unicode.Scalar {
    /// Whether a terminal would not print the character where it stands.
    ///
    /// Joiners, which form emoji and the letters of some scripts, and soft hyphens are harmless.
    fileprivate var isUnprintable: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: true
        case .format: !["\u{200C}", "\u{200D}", "\u{AD}"].contains(self)
        default: false
        }
    }
}

// MARK: - Suggestions

extension String {
    /// The name of a list that this misspelt one probably means; nil if none is close.
    package func closest(in names: [String]) -> String? {
        let closest = names.map { (name: $0, distance: editDistance(to: $0)) }.min { $0.distance < $1.distance }
        return closest.flatMap { $0.distance <= Swift.max(3, count / 3) ? $0.name : nil }
    }

    /// The Levenshtein distance.
    private func editDistance(to other: String) -> Int {
        let (a, b) = (Array(self), Array(other))
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let substitution = diagonal + (a[i] == b[j] ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = Swift.min(substitution, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[b.count]
    }
}
