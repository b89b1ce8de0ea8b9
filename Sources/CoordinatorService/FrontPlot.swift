import Foundation

/// A picture of a run: every evaluated schedule as a dot, the front as a line, in SVG.
struct FrontPlot {
    /// One evaluated schedule.
    struct Point {
        let candidate: Int64
        let speedup, quality: Double
        let origin: String
        let isOnFront: Bool
    }

    let title: String
    let qualityName: String
    let points: [Point]

    private static let width = 860.0, height = 540.0
    private static let left = 70.0, right = 24.0, top = 56.0, bottom = 60.0

    /// The SVG document.
    func svg() -> String {
        let front = points.filter(\.isOnFront).sorted { $0.speedup < $1.speedup }
        let others = points.filter { !$0.isOnFront }
        let x = Axis(values: points.map(\.speedup) + [1], from: Self.left, to: Self.width - Self.right)
        let y = Axis(values: points.map(\.quality), from: Self.height - Self.bottom, to: Self.top)
        var lines: [String] = []
        for tick in x.ticks {
            let at = Self.text(x(tick))
            lines.append(
                "<line class=\"grid\" x1=\"\(at)\" x2=\"\(at)\" y1=\"\(Self.top)\" y2=\"\(Self.height - Self.bottom)\"/>"
            )
            lines.append(
                "<text x=\"\(at)\" y=\"\(Self.height - Self.bottom + 20)\" text-anchor=\"middle\">\(x.label(tick))x</text>"
            )
        }
        for tick in y.ticks {
            let at = Self.text(y(tick))
            lines.append(
                "<line class=\"grid\" x1=\"\(Self.left)\" x2=\"\(Self.width - Self.right)\" y1=\"\(at)\" y2=\"\(at)\"/>"
            )
            lines.append(
                "<text x=\"\(Self.left - 8)\" y=\"\(at)\" dy=\"4\" text-anchor=\"end\">\(y.label(tick))</text>")
        }
        for point in others {
            let isSeed = point.origin.hasPrefix("fora") || point.origin.hasPrefix("tgate")
            lines.append(circle(point, x, y, radius: isSeed ? 4 : 2.5, style: isSeed ? "heuristic" : "dot"))
        }
        let path = front.map { "\(Self.text(x($0.speedup))),\(Self.text(y($0.quality)))" }.joined(separator: " ")
        lines.append("<polyline class=\"front\" points=\"\(path)\"/>")
        for point in front { lines.append(circle(point, x, y, radius: 4.5, style: "member")) }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width) \(Self.height)" font-family="sans-serif" font-size="13">
            <style>
            .grid { stroke: #e3e3e3 } .dot { fill: #b9c0c8 } .heuristic { fill: none; stroke: #c2620a; stroke-width: 1.6 }
            .front { fill: none; stroke: #1f5fa8; stroke-width: 2 } .member { fill: #1f5fa8 } text { fill: #333 }
            </style>
            <rect width="100%" height="100%" fill="#fff"/>
            <text x="\(Self.left)" y="26" font-size="17" font-weight="bold">\(Self.escaped(title))</text>
            <g font-size="12">
            <circle class="member" cx="\(Self.left + 6)" cy="42" r="4.5"/><text x="\(Self.left + 16)" y="46">front</text>
            <circle class="heuristic" cx="\(Self.left + 76)" cy="42" r="4"/><text x="\(Self.left + 86)" y="46">FORA and TGATE</text>
            <circle class="dot" cx="\(Self.left + 206)" cy="42" r="2.5"/><text x="\(Self.left + 216)" y="46">all evaluated</text>
            </g>
            \(lines.joined(separator: "\n"))
            <text x="\((Self.left + Self.width - Self.right) / 2)" y="\(Self.height - 14)" text-anchor="middle">speed-up of denoising against the uncached run</text>
            <text transform="translate(18 \((Self.top + Self.height - Self.bottom) / 2)) rotate(-90)" text-anchor="middle">\(Self.escaped(qualityName))</text>
            </svg>

            """
    }

    private func circle(_ point: Point, _ x: Axis, _ y: Axis, radius: Double, style: String) -> String {
        let label = String(format: "candidate %lld: %.2fx, %.2f, ", point.candidate, point.speedup, point.quality)
        return
            "<circle class=\"\(style)\" cx=\"\(Self.text(x(point.speedup)))\" cy=\"\(Self.text(y(point.quality)))\" r=\"\(radius)\">"
            + "<title>\(Self.escaped(label + point.origin))</title></circle>"
    }

    private static func text(_ value: Double) -> String { String(format: "%.1f", value) }

    static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
            .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
    }
}

/// A linear axis over some values, with round ticks.
private struct Axis {
    let ticks: [Double]
    private let low, high, from, to: Double
    private let decimals: Int

    init(values: [Double], from: Double, to: Double) {
        let low = values.min() ?? 0
        let high = max(values.max() ?? 1, low + 1e-6)
        let rough = (high - low) / 6
        let magnitude = pow(10, floor(log10(rough)))
        let step = [1.0, 2, 2.5, 5, 10].map { $0 * magnitude }.first { $0 >= rough } ?? rough
        let first = (low / step).rounded(.down)
        let last = (high / step).rounded(.up)
        ticks = stride(from: first, through: last, by: 1).map { $0 * step }
        self.low = first * step
        self.high = last * step
        self.from = from
        self.to = to
        decimals = step >= 1 ? 0 : step >= 0.1 ? 1 : 2
    }

    func callAsFunction(_ value: Double) -> Double { from + (value - low) / (high - low) * (to - from) }

    func label(_ tick: Double) -> String { String(format: "%.\(decimals)f", tick) }
}
