/// Rows as lines of left-aligned columns, two spaces apart; each line ends in a newline.
///
/// - Parameters:
///   - rows: Cells by row; the first row is usually the header.
///   - isNumeric: For each column whether its cells are aligned to the right.
/// - Returns: The lines, without spaces at their ends.
package func alignedTable(_ rows: [[String]], isNumeric: [Bool]) -> String {
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

    /// The text as XML character data, without the control characters that XML forbids.
    package var xmlEscaped: String {
        unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case _ where scalar.properties.generalCategory == .control || scalar.value & 0xFFFE == 0xFFFE: break
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
}
