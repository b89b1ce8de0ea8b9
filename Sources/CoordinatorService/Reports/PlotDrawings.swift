import Basics
import Foundation

/// A plot with two axes, a grid and titles.
struct PlotFrame {
    static let width = 860.0, height = 540.0
    static let left = 70.0, right = width - 24, top = 56.0, bottom = height - 60

    let title, xTitle, yTitle: String
    let x, y: Axis
    /// Appended to the labels of the ticks.
    var xUnit = ""

    /// A document with the marks over the grid.
    func svg(_ marks: [String]) -> String {
        var lines: [String] = []
        for tick in x.ticks {
            let position = Self.text(x(tick))
            lines.append(
                "<line class=\"grid\" x1=\"\(position)\" x2=\"\(position)\" y1=\"\(Self.top)\" y2=\"\(Self.bottom)\"/>")
            lines.append(
                "<text x=\"\(position)\" y=\"\(Self.bottom + 20)\" text-anchor=\"middle\">\(x.label(tick))\(xUnit)</text>"
            )
        }
        for tick in y.ticks {
            let position = Self.text(y(tick))
            lines.append(
                "<line class=\"grid\" x1=\"\(Self.left)\" x2=\"\(Self.right)\" y1=\"\(position)\" y2=\"\(position)\"/>")
            lines.append(
                "<text x=\"\(Self.left - 8)\" y=\"\(position)\" dy=\"4\" text-anchor=\"end\">\(y.label(tick))</text>")
        }
        lines += marks
        lines.append(
            "<text x=\"\((Self.left + Self.right) / 2)\" y=\"\(Self.height - 14)\" text-anchor=\"middle\">\(xTitle.xmlEscaped)</text>"
        )
        lines.append(
            "<text transform=\"translate(18 \((Self.top + Self.bottom) / 2)) rotate(-90)\" text-anchor=\"middle\">\(yTitle.xmlEscaped)</text>"
        )
        return Self.document(title: title, width: Self.width, height: Self.height, left: Self.left, lines)
    }

    /// A point as `x,y`.
    func place(_ xValue: Double, _ yValue: Double) -> String { "\(Self.text(x(xValue))),\(Self.text(y(yValue)))" }

    static func document(title: String, width: Double, height: Double, left: Double, _ lines: [String]) -> String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" font-family="sans-serif" font-size="13">
        <style>
        .grid { stroke: #e3e3e3 } .dot { fill: #8b96a3; fill-opacity: .6 } .heuristic { fill: none; stroke: #c2620a; stroke-width: 1.6 }
        .line { fill: none; stroke: #1f5fa8; stroke-width: 2 } .member { fill: #1f5fa8 } .bad { fill: #b42318 } text { fill: #333 }
        </style>
        <rect width="100%" height="100%" fill="#fff"/>
        <text x="\(left)" y="26" font-size="17" font-weight="bold">\(title.xmlEscaped)</text>
        \(lines.joined(separator: "\n"))
        </svg>

        """
    }

    /// A coordinate with one decimal.
    static func text(_ value: Double) -> String { String(format: "%.1f", value) }
}

/// The hypervolume of the front after each generation, over the evaluated candidates.
struct HypervolumePlot {
    let title: String
    let points: [(evaluations: Double, hypervolume: Double)]

    func svg() -> String {
        let frame = PlotFrame(
            title: title, xTitle: "evaluated candidates", yTitle: "hypervolume of the front",
            x: .linear([0] + points.map(\.evaluations), from: PlotFrame.left, to: PlotFrame.right),
            y: .linear(points.map(\.hypervolume), from: PlotFrame.bottom, to: PlotFrame.top))
        // A step line: the front improves when a generation ends.
        var path: [String] = []
        for (index, point) in points.enumerated() {
            if index > 0 { path.append(frame.place(point.evaluations, points[index - 1].hypervolume)) }
            path.append(frame.place(point.evaluations, point.hypervolume))
        }
        let marks =
            points.count > 60
            ? []
            : points.map { point in
                "<circle class=\"member\" cx=\"\(PlotFrame.text(frame.x(point.evaluations)))\" cy=\"\(PlotFrame.text(frame.y(point.hypervolume)))\" r=\"3.5\"/>"
            }
        return frame.svg(["<polyline class=\"line\" points=\"\(path.joined(separator: " "))\"/>"] + marks)
    }
}

/// How often the front recomputes each component: a heat map for each, with steps as columns and blocks as rows.
struct GenesPlot {
    struct Gene {
        let step, block: Int
        let component: String
        /// 0 to 1.
        let share: Double
    }

    let title: String
    let genes: [Gene]

    func svg() -> String {
        var components: [String] = []
        for gene in genes where !components.contains(gene.component) { components.append(gene.component) }
        let steps = (genes.map(\.step).max() ?? 0) + 1
        // Three beside each other; the headings need room as well.
        let columns = max(1, min(3, components.count))
        let cell = max(4, min(16, (900 / columns - 60) / steps))
        let heading = Double(components.map(\.count).max() ?? 0) * 9 + 70
        let panel = max(Double(steps * cell + 50), heading)
        var lines: [String] = []
        var (top, bottom) = (78.0, 78.0)
        for (index, component) in components.enumerated() {
            if index > 0, index % columns == 0 { top = bottom + 58 }
            let left = 40 + Double(index % columns) * panel
            let height = draw(component, left: left, top: top, cell: cell, steps: steps, to: &lines)
            bottom = max(bottom, top + height)
        }
        lines.append(
            "<text x=\"40\" y=\"\(bottom + 26)\">columns: steps, rows: blocks; the darker, the more members of the front recompute it</text>"
        )
        return PlotFrame.document(
            title: title, width: max(620, 40 + panel * Double(columns)), height: bottom + 44, left: 40, lines)
    }

    /// Draws the map of one component and returns its height.
    private func draw(
        _ component: String, left: Double, top: Double, cell: Int, steps: Int, to lines: inout [String]
    ) -> Double {
        let own = genes.filter { $0.component == component }
        // Only some kinds of blocks have the component.
        let rows = Dictionary(uniqueKeysWithValues: Set(own.map(\.block)).sorted().enumerated().map { ($1, $0) })
        let mean = own.reduce(0) { $0 + $1.share } / Double(own.count)
        lines.append(
            "<text x=\"\(left)\" y=\"\(top - 24)\" font-weight=\"bold\">\(component.xmlEscaped), \(String(format: "%.0f", 100 * mean)) %</text>"
        )
        for step in Set([0, steps / 2, steps - 1]).sorted() {
            let x = left + (Double(step) + 0.5) * Double(cell)
            lines.append(
                "<text x=\"\(x)\" y=\"\(top - 7)\" font-size=\"11\" text-anchor=\"middle\">\(step)</text>")
        }
        for (block, row) in rows.sorted(by: { $0.key < $1.key }) where row == 0 || row == rows.count - 1 {
            let y = top + (Double(row) + 0.5) * Double(cell) + 4
            lines.append("<text x=\"\(left - 6)\" y=\"\(y)\" font-size=\"11\" text-anchor=\"end\">\(block)</text>")
        }
        for gene in own {
            let (x, y) = (left + Double(gene.step * cell), top + Double(rows[gene.block, default: 0] * cell))
            lines.append(
                "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(cell - 1)\" height=\"\(cell - 1)\" fill=\"#1f5fa8\" fill-opacity=\"\(String(format: "%.3f", 0.07 + 0.93 * gene.share))\"><title>step \(gene.step), block \(gene.block): \(String(format: "%.0f", 100 * gene.share)) %</title></rect>"
            )
        }
        return Double(rows.count * cell)
    }
}

/// The leases of each worker over time.
struct WorkersPlot {
    struct Lease {
        let worker: String
        /// Seconds since the first lease.
        let start, end: Double
        let hasResult: Bool
    }

    let title: String
    let leases: [Lease]

    func svg() -> String {
        var workers: [String] = []
        for lease in leases where !workers.contains(lease.worker) { workers.append(lease.worker) }
        let row = max(6, min(26, (1400 / Double(max(1, workers.count))).rounded(.down)))
        // Names are left out where rows are lower than a line of text.
        let left = row < 12 ? 24.0 : 150.0
        let bottom = 56 + Double(workers.count) * row
        let end = leases.map(\.end).max() ?? 0
        let (unit, seconds) = end > 10_800 ? ("hours", 3600.0) : end > 300 ? ("minutes", 60) : ("seconds", 1)
        let x = Axis.linear([0, end / seconds], from: left, to: PlotFrame.right)
        var lines = x.ticks.flatMap { tick in
            [
                "<line class=\"grid\" x1=\"\(PlotFrame.text(x(tick)))\" x2=\"\(PlotFrame.text(x(tick)))\" y1=\"50\" y2=\"\(bottom)\"/>",
                "<text x=\"\(PlotFrame.text(x(tick)))\" y=\"\(bottom + 18)\" text-anchor=\"middle\">\(x.label(tick))</text>",
            ]
        }
        for (index, worker) in workers.enumerated() {
            let y = 56 + Double(index) * row
            let own = leases.filter { $0.worker == worker }
            if row >= 12 {
                lines.append(
                    "<text x=\"\(left - 8)\" y=\"\(y + row / 2 + 3)\" text-anchor=\"end\">\(String(worker.prefix(18)).xmlEscaped)</text>"
                )
            }
            lines += own.map { lease in
                let start = x(lease.start / seconds)
                let width = max(0.8, x(lease.end / seconds) - start - 0.4)
                return
                    "<rect class=\"\(lease.hasResult ? "member" : "bad")\" x=\"\(PlotFrame.text(start))\" y=\"\(y + row / 13)\" width=\"\(PlotFrame.text(width))\" height=\"\(row * 10 / 13)\"/>"
            }
        }
        lines.append(
            "<text x=\"\((left + PlotFrame.right) / 2)\" y=\"\(bottom + 42)\" text-anchor=\"middle\">\(unit) since the first lease; red: no result</text>"
        )
        return PlotFrame.document(title: title, width: PlotFrame.width, height: bottom + 56, left: 20, lines)
    }
}

/// Maps values to coordinates, with round tick values.
struct Axis {
    let ticks: [Double]
    private let transform: (Double) -> Double
    private let from, to: Double
    private let decimals: Int

    static func linear(_ values: [Double], from: Double, to: Double) -> Axis {
        let low = values.min() ?? 0
        let high = max(values.max() ?? 1, low + 1e-6)
        let rough = (high - low) / 6
        let magnitude = pow(10, floor(log10(rough)))
        let step = [1.0, 2, 2.5, 5, 10].map { $0 * magnitude }.first { $0 >= rough } ?? rough
        let ticks = stride(from: (low / step + 1e-6).rounded(.down), through: (high / step - 1e-6).rounded(.up), by: 1)
            .map {
                $0 * step
            }
        // As many as the step has: 0.25 needs two, 2.5 one.
        let decimals = (0...9).first { abs(step * pow(10, Double($0)) - (step * pow(10, Double($0))).rounded()) < 1e-6 }
        return Axis(ticks: ticks, transform: { $0 }, from: from, to: to, decimals: decimals ?? 9)
    }

    /// For positive values.
    static func logarithmic(_ values: [Double], from: Double, to: Double) -> Axis {
        let round = [0.1, 0.2, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500, 1000]
        let low = round.last { $0 <= values.min() ?? 1 } ?? round[0]
        let high = round.first { $0 >= values.max() ?? 2 } ?? round[round.count - 1]
        return Axis(ticks: round.filter { (low...high).contains($0) }, transform: log, from: from, to: to, decimals: 2)
    }

    func callAsFunction(_ value: Double) -> Double {
        let (low, high) = (transform(ticks[0]), transform(ticks[ticks.count - 1]))
        return from + (transform(value) - low) / (high - low) * (to - from)
    }

    func label(_ tick: Double) -> String {
        let text = String(format: "%.\(decimals)f", tick)
        guard text.contains(".") else { return text }
        return text.replacingOccurrences(of: "\\.?0+$", with: "", options: .regularExpression)
    }
}
