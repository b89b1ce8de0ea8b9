import ModelConfiguration

/// A schedule drawn as a heat map: one panel for each component, steps as columns and blocks as rows.
///
/// Shown are the decisions as the file has them, the first step's included.
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

    /// A share in percent that says 0 and 100 only of nothing and all.
    private static func percent(_ part: Int, of whole: Int) -> String {
        guard part > 0, part < whole else { return part == 0 ? "0%" : "100%" }
        return "\(min(99, max(1, (200 * part + whole) / (2 * whole))))%"
    }
}
