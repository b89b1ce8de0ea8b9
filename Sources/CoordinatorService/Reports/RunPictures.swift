import Basics
import Foundation
import History

/// The pictures of a run, drawn from its history: those that a run leaves in its directory, and the other plots.
struct RunPictures {
    let history: RunHistory
    let runID: Int64
    let configuration: RunConfiguration
    /// The calibration prompts.
    let prompts: [String]
    let front: [FrontRecord]

    /// Writes `front.svg` and `sheet.svg` and returns their paths.
    ///
    /// - Parameters:
    ///   - folder: Directory.
    ///   - members: The schedules on the contact sheet.
    /// - Returns: The paths.
    /// - Throws: `HistoryError`, ``CoordinatorError/runDirectory(path:reason:)``.
    func write(to folder: String, sheet members: [FrontRecord]) throws -> [String] {
        let plot = "\(folder)/front.svg"
        let sheet = "\(folder)/sheet.svg"
        for (path, svg) in [(plot, try frontPlot().svg()), (sheet, try contactSheet(members).svg())] {
            do {
                try FileContents.write(svg, to: path)
            } catch {
                throw CoordinatorError.runDirectory(path: path, reason: error.problem)
            }
        }
        return [plot, sheet]
    }

    private var modelName: String { URL(fileURLWithPath: configuration.modelPath).lastPathComponent }

    func frontPlot() throws -> FrontPlot {
        let onFront = Set(front.map(\.candidateID))
        let points = try history.search.candidates(of: runID).compactMap { candidate in
            candidate.evaluation.map {
                // The same ratio as in the view pareto_front.
                let ratio = configuration.cost == .latency ? $0.modelledRatio : $0.latencyRatio
                return FrontPlot.Point(
                    candidate: candidate.id, speedup: 1 / (ratio ?? $0.cost), quality: $0.quality,
                    origin: candidate.origin, isOnFront: onFront.contains(candidate.id))
            }
        }
        let images = prompts.count * configuration.seedsPerPrompt
        return FrontPlot(
            title: "\(modelName): \(points.count.counted("candidate")), \(images.counted("image")) each",
            qualityName: configuration.quality.axisTitle,
            points: points)
    }

    func contactSheet(_ members: [FrontRecord]) throws -> ContactSheetDrawing {
        let prompts = Array(prompts.prefix(ContactSheet.promptCount))
        func images(_ candidate: Int64?) throws -> [[UInt8]] {
            try history.results.thumbnails(of: candidate, run: runID)
                .filter { $0.image.prompt < prompts.count && $0.image.seed == 0 }.map(\.png)
        }
        var rows = [ContactSheetDrawing.Row(title: "uncached", subtitle: "1.00x", images: try images(nil))]
        for member in members {
            let speedup = String(format: "%.2fx", member.speedup ?? 1 / member.cost)
            let quality = configuration.quality.text(member.quality)
            rows.append(
                ContactSheetDrawing.Row(
                    title: speedup, subtitle: "candidate \(member.candidateID), \(quality)",
                    images: try images(member.candidateID)))
        }
        return ContactSheetDrawing(
            title: "\(modelName), uncached and with \(members.count.counted("schedule")) of the front",
            prompts: prompts,
            rows: rows)
    }

    func hypervolumePlot() throws -> HypervolumePlot {
        var evaluations = 0
        let generations = try history.search.generations(of: runID).filter(\.isFinished)
        let points = generations.compactMap { generation in
            evaluations += generation.evaluations
            return generation.hypervolume.map { (evaluations: Double(evaluations), hypervolume: $0) }
        }
        return HypervolumePlot(
            title: "\(modelName): hypervolume over \(points.count.counted("generation"))", points: points)
    }

    func genesPlot() throws -> GenesPlot {
        let rows = try history.query(
            "SELECT step, block, component, recompute_share FROM gene_usage WHERE run_id = ?", [.integer(runID)]
        ).rows
        return GenesPlot(
            title: "\(modelName): recomputation in \(front.count.counted("schedule")) of the front",
            genes: rows.compactMap { row in
                guard case .integer(let step) = row[0], case .integer(let block) = row[1],
                    case .text(let name) = row[2],
                    case .real(let share) = row[3]
                else { return nil }
                return GenesPlot.Gene(step: Int(step), block: Int(block), component: name, share: share)
            })
    }

    func workersPlot() throws -> WorkersPlot {
        let rows = try history.query(
            """
            SELECT w.name, l.leased_at - min(l.leased_at) OVER (),
                coalesce(l.ended_at, max(l.leased_at) OVER ()) - min(l.leased_at) OVER (),
                l.outcome IS NULL OR l.outcome = 'done'
            FROM leases l JOIN tasks t ON t.id = l.task_id JOIN workers w ON w.id = l.worker_id
            WHERE t.run_id = ? AND t.generation IS NOT NULL ORDER BY l.id
            """, [.integer(runID)]
        ).rows
        return WorkersPlot(
            title: "\(modelName): leases of \(Set(rows.map { $0[0] }).count.counted("worker"))",
            leases: rows.compactMap { row in
                guard case .text(let name) = row[0], case .real(let start) = row[1], case .real(let end) = row[2] else {
                    return nil
                }
                return WorkersPlot.Lease(worker: name, start: start, end: end, hasResult: row[3] == .integer(1))
            })
    }
}

extension RunPictures {
    init(context: RunContext, front: [FrontRecord]) {
        self.init(
            history: context.history, runID: context.runID, configuration: context.configuration,
            prompts: context.prompts, front: front)
    }
}
