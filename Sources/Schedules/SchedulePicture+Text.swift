import Basics

extension SchedulePicture {
    /// The picture for a terminal, two blocks of the transformer to a line; filled means recompute.
    ///
    /// Unicode half blocks carry all of it: there is no colour to miss.
    ///
    /// - Parameter columns: The width that panels side by side may take; wider ones stand below each other.
    /// - Returns: Lines, each with its newline.
    public func text(columns: Int = 80) -> String {
        let width = Self.labelWidth + max(stepCount + 2, panels.map(\.title.count).max() ?? 0)
        let gap = 2
        var text = Self.printable(title) + "\nfilled: recompute, empty: reuse; columns: steps, rows: blocks\n"
        for line in lines(perLine: max(1, (columns + gap) / (width + gap))) {
            text += "\n"
            let drawn = line.map(drawing(of:))
            for row in drawn[0].indices {
                let joined = drawn.map { $0[row].rightPadded(to: width + gap) }.joined()
                text += joined.trimmingTrailingSpaces() + "\n"
            }
        }
        return text
    }

    private static let labelWidth = 3

    private func drawing(of panel: Panel) -> [String] {
        let margin = String(repeating: " ", count: Self.labelWidth)
        var ruler = margin + " "
        for step in stride(from: 0, to: stepCount, by: 5) { ruler += "\(step)".rightPadded(to: 5) }
        let edge = String(repeating: "─", count: stepCount)
        let body = stride(from: 0, to: panel.rows.count, by: 2).map { row in
            let label = "\(row)"
            let lower = row + 1 < panel.rows.count ? panel.rows[row + 1] : nil
            let cells = panel.rows[row].enumerated().map { Self.halfBlock($1, lower?[$0] ?? false) }.joined()
            return margin.dropLast(label.count) + label + "│" + cells + "│"
        }
        let ruled = ruler.trimmingTrailingSpaces()
        return [margin + " " + panel.title, ruled, margin + "┌" + edge + "┐"] + body + [margin + "└" + edge + "┘"]
    }

    private static func halfBlock(_ upper: Bool, _ lower: Bool) -> String {
        switch (upper, lower) {
        case (true, true): "█"
        case (true, false): "▀"
        case (false, true): "▄"
        case (false, false): " "
        }
    }

    /// A label without the control characters that a file may hide in it to fool a terminal.
    private static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.properties.generalCategory != .control }))
    }
}
