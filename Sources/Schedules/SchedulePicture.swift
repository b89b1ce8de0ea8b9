import Basics
import ModelConfiguration

/// A schedule as a heat map: one panel per component, with steps as columns and blocks as rows.
///
/// It shows the raw decisions, including those of the first step.
public struct SchedulePicture: Sendable {
    /// A component's decisions.
    struct Panel: Sendable {
        let component: Component
        /// Whether each block recomputes, step by step.
        let rows: [[Bool]]

        /// The component and how much of it is recomputed.
        var title: String {
            let recomputed = rows.reduce(0) { $0 + $1.count { $0 } }
            let count = rows.reduce(0) { $0 + $1.count }
            return "\(component.rawValue) \(SchedulePicture.percent(recomputed, of: count))"
        }
    }

    /// Name, shape and share of recomputation.
    let title: String
    let panels: [Panel]
    let stepCount: Int
    let gateStep: Int?

    /// Draws a schedule.
    public init(_ schedule: Schedule) {
        let shape = schedule.shape
        let genome = schedule.genome
        let name = schedule.name.isEmpty ? "" : schedule.name + ": "
        let gate = schedule.gateStep.map { ", TGATE from step \($0)" } ?? ""
        title = "\(name)\(shape), \(Self.percent(genome.recomputeCount, of: genome.geneCount)) recomputed\(gate)"
        panels = BlockKind.allCases.flatMap { kind in
            let blocks = shape.blocks.indices.filter { shape.blocks[$0] == kind }
            return (blocks.isEmpty ? [] : kind.components).map { component in
                Panel(
                    component: component,
                    rows: blocks.map { block in
                        (0..<shape.stepCount).map {
                            schedule[step: $0, block: block, component: component] == .recompute
                        }
                    })
            }
        }
        stepCount = shape.stepCount
        gateStep = schedule.gateStep
    }

    /// Panels in lines: those of one kind of blocks, which have equally many rows, as many as fit.
    func lines(perLine count: Int) -> [[Panel]] {
        var lines: [[Panel]] = []
        for panel in panels {
            if let last = lines.last, last.count < count, last[0].rows.count == panel.rows.count,
                last[0].component.blockKind == panel.component.blockKind
            {
                lines[lines.count - 1].append(panel)
            } else {
                lines.append([panel])
            }
        }
        return lines
    }

    /// A rounded percentage that is 0 or 100 only for none and all.
    private static func percent(_ part: Int, of whole: Int) -> String {
        guard part > 0, part < whole else { return part == 0 ? "0%" : "100%" }
        return "\(min(99, max(1, (200 * part + whole) / (2 * whole))))%"
    }
}

extension SchedulePicture {
    /// The picture for a terminal, two rows per line in Unicode half blocks without colour; filled means recompute.
    ///
    /// - Parameter columns: The width available for panels side by side.
    /// - Returns: Lines, each with its newline.
    public func text(columns: Int = 80) -> String {
        let width = Self.labelWidth + max(stepCount + 2, panels.map(\.title.count).max() ?? 0)
        let gap = 2
        var text = title.terminalEscaped + "\nfilled: recompute, empty: reuse; columns: steps, rows: blocks\n"
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
}

/// Sizes in pixels, for both SVG and bitmaps.
private enum Layout {
    static let cell = 12
    static let margin = 44
    /// Height above a panel for its title and step numbers.
    static let heading = 44
    static let header = 56
}

/// Colours as red, green and blue.
private enum Colour {
    static let background: [UInt8] = [255, 255, 255]
    static let recompute: [UInt8] = [31, 78, 121]
    static let reuse: [UInt8] = [221, 230, 240]
    static let gate: [UInt8] = [200, 60, 30]

    static func css(_ colour: [UInt8]) -> String { "rgb(\(colour.map { "\($0)" }.joined(separator: ",")))" }
}

extension SchedulePicture {
    /// A panel and the top left corner of its cells.
    private struct Placed {
        let panel: Panel
        let x: Int
        let y: Int
    }

    private var placed: [Placed] {
        var y = Layout.header
        return lines(perLine: BlockKind.componentCount).flatMap { line in
            y += Layout.heading
            defer { y += line[0].rows.count * Layout.cell }
            return line.enumerated().map { position, panel in
                Placed(
                    panel: panel, x: Layout.margin + position * (panelWidth + Layout.margin), y: y)
            }
        }
    }

    /// Width of a panel's cells or of its title, whichever is wider.
    private var panelWidth: Int { max(stepCount * Layout.cell, 180) }

    private var size: (width: Int, height: Int) {
        let bottom = placed.map { $0.y + $0.panel.rows.count * Layout.cell }.max() ?? 0
        let perLine = lines(perLine: BlockKind.componentCount).map(\.count).max() ?? 0
        return (Layout.margin + perLine * (panelWidth + Layout.margin), bottom + Layout.margin)
    }

    /// Runs of equal decisions in a row: first step, number of steps, decision.
    private static func runs(_ row: [Bool]) -> [(start: Int, count: Int, recomputes: Bool)] {
        var runs: [(start: Int, count: Int, recomputes: Bool)] = []
        for (step, recomputes) in row.enumerated() {
            if let last = runs.last, last.recomputes == recomputes {
                runs[runs.count - 1].count += 1
            } else {
                runs.append((step, 1, recomputes))
            }
        }
        return runs
    }
}

// MARK: - SVG

extension SchedulePicture {
    /// The picture as an SVG document.
    public var svg: String {
        let (width, height) = size
        let cell = Layout.cell
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \(height)\" width=\"\(width)\" "
                + "height=\"\(height)\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">",
            "<rect width=\"\(width)\" height=\"\(height)\" fill=\"\(Colour.css(Colour.background))\"/>",
            "<text x=\"\(Layout.margin)\" y=\"24\" font-size=\"15\">\(title.xmlEscaped)</text>",
        ]
        for (position, entry) in [(Colour.recompute, "recompute"), (Colour.reuse, "reuse")].enumerated() {
            let x = Layout.margin + 100 * position
            lines.append(
                "<rect x=\"\(x)\" y=\"36\" width=\"\(cell)\" height=\"\(cell)\" fill=\"\(Colour.css(entry.0))\"/>"
                    + "<text x=\"\(x + 18)\" y=\"46\">\(entry.1)</text>")
        }
        lines.append("<text x=\"\(Layout.margin + 200)\" y=\"46\">columns: steps, rows: blocks</text>")
        for place in placed { lines += svg(of: place) }
        return (lines + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    /// Writes the SVG document, replacing what the path holds.
    ///
    /// - Throws: `FileError`.
    public func writeSVG(to path: String) throws(FileError) { try FileContents.write(svg, to: path) }

    private func svg(of place: Placed) -> [String] {
        let (cell, x, y) = (Layout.cell, place.x, place.y)
        let rows = place.panel.rows
        var lines = ["<text x=\"\(x)\" y=\"\(y - 22)\" font-size=\"13\">\(place.panel.title.xmlEscaped)</text>"]
        for step in stride(from: 0, to: stepCount, by: 5) {
            lines.append(
                "<text x=\"\(x + step * cell + cell / 2)\" y=\"\(y - 6)\" text-anchor=\"middle\">\(step)</text>")
        }
        for block in stride(from: 0, to: rows.count, by: 5) {
            lines.append(
                "<text x=\"\(x - 6)\" y=\"\(y + block * cell + cell - 2)\" text-anchor=\"end\">\(block)</text>")
        }
        // One rectangle per run of equal decisions keeps the file small.
        for (block, row) in rows.enumerated() {
            for run in Self.runs(row) {
                let colour = Colour.css(run.recomputes ? Colour.recompute : Colour.reuse)
                lines.append(
                    "<rect x=\"\(x + run.start * cell)\" y=\"\(y + block * cell)\" width=\"\(run.count * cell - 1)\" "
                        + "height=\"\(cell - 1)\" fill=\"\(colour)\"/>")
            }
        }
        if let gateStep, gateStep < stepCount {
            let gate = x + gateStep * cell
            lines.append(
                "<line x1=\"\(gate)\" x2=\"\(gate)\" y1=\"\(y - 3)\" y2=\"\(y + rows.count * cell + 3)\" "
                    + "stroke=\"\(Colour.css(Colour.gate))\" stroke-width=\"2\"/>")
        }
        return lines
    }
}

// MARK: - Pixels

extension SchedulePicture {
    /// The picture's panels as pixels, without any text.
    ///
    /// - Returns: Width, height, and red, green and blue of each pixel, row by row.
    /// - Throws: ``SchedulesError/outOfRange(name:expected:found:)`` for a picture of more than 2^26 pixels.
    public func pixels() throws(SchedulesError) -> (width: Int, height: Int, values: [UInt8]) {
        let (width, height) = size
        guard width * height <= 1 << 26 else {
            throw .outOfRange(name: "pixels of the picture", expected: "at most 2^26", found: "\(width) x \(height)")
        }
        var values = [UInt8](repeating: 255, count: width * height * 3)
        func fill(_ columns: Range<Int>, _ rows: Range<Int>, _ colour: [UInt8]) {
            for row in rows.clamped(to: 0..<height) {
                for column in columns.clamped(to: 0..<width) {
                    let first = (row * width + column) * 3
                    for channel in 0..<3 { values[first + channel] = colour[channel] }
                }
            }
        }
        for place in placed {
            let (cell, x, y) = (Layout.cell, place.x, place.y)
            for (block, row) in place.panel.rows.enumerated() {
                for (step, recomputes) in row.enumerated() {
                    let left = x + step * cell
                    let top = y + block * cell
                    fill(
                        left..<left + cell - 1, top..<top + cell - 1,
                        recomputes ? Colour.recompute : Colour.reuse)
                }
            }
            if let gateStep, gateStep < stepCount {
                let gate = x + gateStep * cell
                fill(gate - 1..<gate + 1, y - 3..<y + place.panel.rows.count * cell + 3, Colour.gate)
            }
        }
        return (width, height, values)
    }
}
