import Basics
import Foundation

/// The same prompts uncached and under members of the front, side by side: an SVG with the images inside.
struct ImageSheet {
    /// One row: a schedule.
    struct Row {
        /// What the row shows, in a line or two.
        let title, subtitle: String
        /// PNG data, one for each prompt.
        let images: [[UInt8]]
    }

    let title: String
    let prompts: [String]
    let rows: [Row]

    private static let cell = 128.0, gap = 10.0, label = 176.0, top = 50.0, caption = 78.0

    /// The SVG document.
    func svg() -> String {
        let width = Self.label + Double(prompts.count) * (Self.cell + Self.gap) + Self.gap
        let height = Self.top + Self.caption + Double(rows.count) * (Self.cell + Self.gap) + Self.gap
        var lines: [String] = []
        for (column, prompt) in prompts.enumerated() {
            let x = Self.label + Double(column) * (Self.cell + Self.gap)
            for (line, words) in Self.wrapped(prompt, columns: 22, lines: 5).enumerated() {
                lines.append(
                    "<text x=\"\(x)\" y=\"\(Self.top + 12 + Double(line) * 13)\" font-size=\"11\">\(words.xmlEscaped)</text>"
                )
            }
        }
        for (index, row) in rows.enumerated() {
            let y = Self.top + Self.caption + Double(index) * (Self.cell + Self.gap)
            lines.append(
                "<text x=\"10\" y=\"\(y + 58)\" font-size=\"15\" font-weight=\"bold\">\(row.title.xmlEscaped)</text>"
            )
            for (line, words) in Self.wrapped(row.subtitle, columns: 24, lines: 2).enumerated() {
                lines.append(
                    "<text x=\"10\" y=\"\(y + 78 + Double(line) * 15)\" font-size=\"12\">\(words.xmlEscaped)</text>"
                )
            }
            for (column, png) in row.images.enumerated() {
                let x = Self.label + Double(column) * (Self.cell + Self.gap)
                let data = Data(png).base64EncodedString()
                lines.append(
                    "<image x=\"\(x)\" y=\"\(y)\" width=\"\(Self.cell)\" height=\"\(Self.cell)\" href=\"data:image/png;base64,\(data)\"/>"
                )
            }
        }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" font-family="sans-serif">
            <rect width="100%" height="100%" fill="#fff"/>
            <text x="10" y="28" font-size="18" font-weight="bold">\(title.xmlEscaped)</text>
            \(lines.joined(separator: "\n"))
            </svg>

            """
    }

    /// Breaks a text at spaces; what does not fit into the lines ends in an ellipsis.
    static func wrapped(_ text: String, columns: Int, lines: Int) -> [String] {
        var result: [String] = []
        for word in text.split(separator: " ") {
            if let last = result.last, last.count + 1 + word.count <= columns {
                result[result.count - 1] = last + " " + word
            } else if result.count < lines {
                result.append(String(word))
            } else {
                result[result.count - 1] += " …"
                break
            }
        }
        return result
    }
}
