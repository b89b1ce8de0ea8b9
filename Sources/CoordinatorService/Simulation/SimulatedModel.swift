import Basics
import Evolution
import History
import Messages
import ModelConfiguration
import Schedules

/// The measurements of simulated workers: durations proportional to multiply-adds, and a quality that decreases with
/// them.
struct SimulatedModel {
    private let calibration: Calibration
    private let secondsPerImage: Double
    private let uncachedMACs: Double
    private var ratios: [Int64: Double] = [:]

    /// Takes the denoising time of an uncached image on the fastest host, in seconds.
    init(_ calibration: Calibration, secondsPerImage: Double) throws {
        self.calibration = calibration
        self.secondsPerImage = secondsPerImage
        uncachedMACs = Double(calibration.context.uncachedMACs)
    }

    /// The duration of a task on the fastest host: candidates in proportion to their multiply-adds, and an uncached
    /// pass over the images for every four candidates if measured latency is the objective.
    mutating func seconds(for assignment: Assignment) throws -> Double {
        if assignment.kind == .measureReuse {
            return secondsPerImage * calibration.context.shape.reuseMeasurementImages
        }
        let images = Double(assignment.items.count)
        let candidates = try assignment.candidates.reduce(0) { $0 + (try ratio(of: $1)) }
        let references = calibration.configuration.cost == .measured ? 1 + Double(assignment.candidates.count) / 4 : 0
        return secondsPerImage * images * (candidates + references.rounded(.up))
    }

    private mutating func ratio(of candidate: AssignedCandidate) throws -> Double {
        if let ratio = ratios[candidate.candidateID] { return ratio }
        let genome = try Genome(bytes: candidate.genome, geneCount: Int(candidate.geneCount))
        let context = calibration.context
        let macs = try context.model.architecture.macs(Schedule(shape: context.shape, genome: genome)).total
        let ratio = Double(macs) / uncachedMACs
        ratios[candidate.candidateID] = ratio
        return ratio
    }

    /// Reuse errors that grow with the steps since the output was computed.
    private var reuseErrors: [Float] {
        let shape = calibration.context.shape
        return (0..<shape.genesPerStep).flatMap { chain in
            (0..<shape.stepCount).flatMap { step in (0..<step).map { Float(step - $0) / Float(1 + chain % 7) } }
        }
    }

    /// A cost table in which all components cost the same.
    var costReport: CostReport {
        let seconds = secondsPerImage / Double(calibration.context.shape.geneCount)
        let names = Set(calibration.context.shape.blocks.flatMap(\.components).map(\.rawValue))
        let phase = CostTable.Phase(
            step: 0, components: Dictionary(uniqueKeysWithValues: names.map { ($0, CostTable.Costs(compute: seconds)) })
        )
        var report = CostReport()
        report.table = CostTable(imageCount: 1, full: phase, gated: phase).json
        report.uncachedSeconds = secondsPerImage
        return report
    }

    /// The result of a task on a host that is slower than the fastest by a factor.
    ///
    /// Quality decreases linearly with the multiply-adds saved, plus an offset that depends on the genome.
    mutating func result(of assignment: Assignment, slowness: Double) throws -> Messages.TaskResult {
        let scorer = calibration.configuration.quality.rawValue
        let seconds = try seconds(for: assignment) * slowness
        if assignment.kind == .measureReuse {
            var result = Messages.TaskResult(of: assignment, seconds: seconds) { _, _ in }
            result.reuseErrors = reuseErrors.littleEndianData
            return result
        }
        return try Messages.TaskResult(of: assignment, seconds: seconds) { candidate, image in
            let ratio = try ratio(of: candidate)
            image.scores = [scorer: 10 + 40 * ratio + Double(candidate.genomeHash % 1_000) / 200]
            image.denoiseSeconds = secondsPerImage * ratio * slowness
            image.referenceSeconds = secondsPerImage * slowness
        }
    }
}
