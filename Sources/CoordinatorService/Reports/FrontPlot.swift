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

    func svg() -> String {
        let front = points.filter(\.isOnFront).sorted { $0.speedup < $1.speedup }
        let others = points.filter { !$0.isOnFront }
        let frame = PlotFrame(
            title: title, xTitle: "denoising speed-up relative to the uncached model", yTitle: qualityName,
            x: .logarithmic(points.map(\.speedup) + [1, 2], from: PlotFrame.left, to: PlotFrame.right),
            y: .linear(points.map(\.quality), from: PlotFrame.bottom, to: PlotFrame.top), xUnit: "x")
        var lines = [
            """
            <g font-size="12">
            <circle class="member" cx="\(PlotFrame.left + 6)" cy="42" r="4.5"/><text x="\(PlotFrame.left + 16)" y="46">front</text>
            <circle class="dot" cx="\(PlotFrame.left + 66)" cy="42" r="2.5"/><text x="\(PlotFrame.left + 74)" y="46">all evaluated</text>
            </g>
            """
        ]
        func isHeuristic(_ point: Point) -> Bool {
            point.origin.hasPrefix("fora") || point.origin.hasPrefix("tgate")
        }
        if others.contains(where: isHeuristic) {
            lines.append(
                """
                \(Self.diamond(PlotFrame.left + 176, 42, content: ""))
                <text x="\(PlotFrame.left + 186)" y="46" font-size="12">FORA and TGATE</text>
                """)
        }
        for point in others {
            lines.append(
                isHeuristic(point)
                    ? Self.diamond(frame.x(point.speedup), frame.y(point.quality), content: label(point))
                    : circle(point, frame, radius: 2.5, style: "dot"))
        }
        // A step line: between two members, the best attainable quality is that of the faster one.
        var path: [String] = []
        for (index, point) in front.enumerated() {
            if index > 0 { path.append(frame.place(front[index - 1].speedup, point.quality)) }
            path.append(frame.place(point.speedup, point.quality))
        }
        lines.append("<polyline class=\"line\" points=\"\(path.joined(separator: " "))\"/>")
        for point in front { lines.append(circle(point, frame, radius: 4.5, style: "member")) }
        return frame.svg(lines)
    }

    private func circle(_ point: Point, _ frame: PlotFrame, radius: Double, style: String) -> String {
        "<circle class=\"\(style)\" cx=\"\(PlotFrame.text(frame.x(point.speedup)))\" cy=\"\(PlotFrame.text(frame.y(point.quality)))\" r=\"\(radius)\">"
            + "\(label(point))</circle>"
    }

    /// The mark of FORA and TGATE, as in the dashboard.
    private static func diamond(_ x: Double, _ y: Double, content: String) -> String {
        "<path class=\"heuristic\" transform=\"translate(\(PlotFrame.text(x)) \(PlotFrame.text(y)))\" d=\"M0 -5 L5 0 L0 5 L-5 0 Z\">"
            + "\(content)</path>"
    }

    /// What a browser shows at a mark.
    private func label(_ point: Point) -> String {
        let values = String(format: "candidate %lld: %.2fx, %.2f, ", point.candidate, point.speedup, point.quality)
        return "<title>\((values + point.origin).xmlEscaped)</title>"
    }
}
