import Basics
import ModelConfiguration

/// Layout in pixels, of SVG and of pixels alike.
private enum Layout {
    static let cell = 12
    static let margin = 44
    /// Room above a panel for its title and the numbers of the steps.
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
    /// A panel and the left upper corner of its cells.
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

    /// Width of a panel's cells, or of its title where that is wider.
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
        // White lines between the rows come from the background; one rectangle for a run keeps the file small.
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
