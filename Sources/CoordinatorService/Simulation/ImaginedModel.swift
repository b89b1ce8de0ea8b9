import History
import Messages
import ModelConfiguration
import Schedules

/// What the workers of a ``Simulation`` would measure: times by multiply-adds, and a quality that falls with them.
struct ImaginedModel {
    private let calibration: Calibration
    private let secondsPerImage: Double
    private let uncachedMACs: Double
    private var ratios: [Int64: Double] = [:]

    /// A model for the candidates of a run.
    ///
    /// - Parameters:
    ///   - calibration: The run.
    ///   - secondsPerImage: Seconds for an uncached image on the fastest host.
    /// - Throws: `SchedulesError`.
    init(_ calibration: Calibration, secondsPerImage: Double) throws {
        self.calibration = calibration
        self.secondsPerImage = secondsPerImage
        uncachedMACs = Double(try calibration.model.architecture.macs(Schedule(shape: calibration.shape)).total)
    }

    /// Seconds that a task takes the fastest host: an uncached run of its images for every four candidates, and the
    /// candidates by their multiply-adds.
    mutating func seconds(for assignment: Assignment) throws -> Double {
        let images = Double(assignment.items.count)
        let candidates = try assignment.candidates.reduce(0) { $0 + (try ratio(of: $1)) }
        let references = calibration.configuration.cost != .macs ? 1 + Double(assignment.candidates.count) / 4 : 0
        return secondsPerImage * images * (candidates + references.rounded(.up))
    }

    private mutating func ratio(of candidate: AssignedCandidate) throws -> Double {
        if let ratio = ratios[candidate.candidateID] { return ratio }
        let genome = try Genome(bytes: candidate.genome, geneCount: Int(candidate.geneCount))
        let macs = try calibration.model.architecture.macs(Schedule(shape: calibration.shape, genome: genome)).total
        let ratio = Double(macs) / uncachedMACs
        ratios[candidate.candidateID] = ratio
        return ratio
    }

    /// Every instance of a component costs the same.
    var costReport: CostReport {
        let seconds = secondsPerImage / Double(calibration.shape.geneCount)
        let names = Set(calibration.shape.blocks.flatMap(\.components).map(\.rawValue))
        let phase = CostTable.Phase(
            step: 0, components: Dictionary(uniqueKeysWithValues: names.map { ($0, CostTable.Costs(compute: seconds)) })
        )
        var report = CostReport()
        report.table = CostTable(imageCount: 1, full: phase, gated: phase).json
        report.uncachedSeconds = secondsPerImage
        return report
    }

    /// A task's result on a host of some slowness: quality falls with what is saved, by an amount that depends on where
    /// it is saved.
    mutating func result(of assignment: Assignment, slowness: Double) throws -> Messages.TaskResult {
        let scorer = calibration.configuration.quality.rawValue
        let seconds = try seconds(for: assignment) * slowness
        return try Messages.TaskResult(of: assignment, seconds: seconds) { candidate, image in
            let ratio = try ratio(of: candidate)
            image.scores = [scorer: 10 + 40 * ratio + Double(candidate.genomeHash % 1_000) / 200]
            image.denoiseSeconds = secondsPerImage * ratio * slowness
            image.referenceSeconds = secondsPerImage * slowness
        }
    }
}
