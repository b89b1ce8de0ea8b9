import Basics
import Foundation

/// An SVG plot of quality over speed-up: all evaluated candidates as dots, the front as a step line.
struct FrontPlot {
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

    func svg() -> String {
        let front = points.filter(\.isOnFront).sorted { $0.speedup < $1.speedup }
        let others = points.filter { !$0.isOnFront }
        let x = Axis.logarithmic(points.map(\.speedup) + [1, 2], from: Self.left, to: Self.width - Self.right)
        let y = Axis.linear(points.map(\.quality), from: Self.height - Self.bottom, to: Self.top)
        var lines: [String] = []
        for tick in x.ticks {
            let position = Self.text(x(tick))
            lines.append(
                "<line class=\"grid\" x1=\"\(position)\" x2=\"\(position)\" y1=\"\(Self.top)\" y2=\"\(Self.height - Self.bottom)\"/>"
            )
            lines.append(
                "<text x=\"\(position)\" y=\"\(Self.height - Self.bottom + 20)\" text-anchor=\"middle\">\(x.label(tick))x</text>"
            )
        }
        for tick in y.ticks {
            let position = Self.text(y(tick))
            lines.append(
                "<line class=\"grid\" x1=\"\(Self.left)\" x2=\"\(Self.width - Self.right)\" y1=\"\(position)\" y2=\"\(position)\"/>"
            )
            lines.append(
                "<text x=\"\(Self.left - 8)\" y=\"\(position)\" dy=\"4\" text-anchor=\"end\">\(y.label(tick))</text>")
        }
        for point in others {
            let isSeed = point.origin.hasPrefix("fora") || point.origin.hasPrefix("tgate")
            lines.append(circle(point, x, y, radius: isSeed ? 4 : 2.5, style: isSeed ? "heuristic" : "dot"))
        }
        // A step line: between two members, the best attainable quality is that of the faster one.
        var path: [String] = []
        for (index, point) in front.enumerated() {
            if index > 0 { path.append("\(Self.text(x(front[index - 1].speedup))),\(Self.text(y(point.quality)))") }
            path.append("\(Self.text(x(point.speedup))),\(Self.text(y(point.quality)))")
        }
        lines.append("<polyline class=\"front\" points=\"\(path.joined(separator: " "))\"/>")
        for point in front { lines.append(circle(point, x, y, radius: 4.5, style: "member")) }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width) \(Self.height)" font-family="sans-serif" font-size="13">
            <style>
            .grid { stroke: #e3e3e3 } .dot { fill: #b9c0c8 } .heuristic { fill: none; stroke: #c2620a; stroke-width: 1.6 }
            .front { fill: none; stroke: #1f5fa8; stroke-width: 2 } .member { fill: #1f5fa8 } text { fill: #333 }
            </style>
            <rect width="100%" height="100%" fill="#fff"/>
            <text x="\(Self.left)" y="26" font-size="17" font-weight="bold">\(title.xmlEscaped)</text>
            <g font-size="12">
            <circle class="member" cx="\(Self.left + 6)" cy="42" r="4.5"/><text x="\(Self.left + 16)" y="46">front</text>
            <circle class="heuristic" cx="\(Self.left + 76)" cy="42" r="4"/><text x="\(Self.left + 86)" y="46">FORA and TGATE</text>
            <circle class="dot" cx="\(Self.left + 206)" cy="42" r="2.5"/><text x="\(Self.left + 216)" y="46">all evaluated</text>
            </g>
            \(lines.joined(separator: "\n"))
            <text x="\((Self.left + Self.width - Self.right) / 2)" y="\(Self.height - 14)" text-anchor="middle">denoising speed-up relative to the uncached model</text>
            <text transform="translate(18 \((Self.top + Self.height - Self.bottom) / 2)) rotate(-90)" text-anchor="middle">\(qualityName.xmlEscaped)</text>
            </svg>

            """
    }

    private func circle(_ point: Point, _ x: Axis, _ y: Axis, radius: Double, style: String) -> String {
        let label = String(format: "candidate %lld: %.2fx, %.2f, ", point.candidate, point.speedup, point.quality)
        return
            "<circle class=\"\(style)\" cx=\"\(Self.text(x(point.speedup)))\" cy=\"\(Self.text(y(point.quality)))\" r=\"\(radius)\">"
            + "<title>\((label + point.origin).xmlEscaped)</title></circle>"
    }

    private static func text(_ value: Double) -> String { String(format: "%.1f", value) }
}

/// Maps values to coordinates, with round tick values.
private struct Axis {
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
        let ticks = stride(from: (low / step).rounded(.down), through: (high / step).rounded(.up), by: 1).map {
            $0 * step
        }
        return Axis(ticks: ticks, transform: { $0 }, from: from, to: to, decimals: step >= 1 ? 0 : step >= 0.1 ? 1 : 2)
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
