import Basics
import History
import Schedules

/// What a run has spent in images, and what it may spend (`search.budget_images`).
///
/// An image of a candidate counts 1, whatever its schedule saves; measuring the reuse errors of an image counts as many
/// uncached images as take as long. What depends on the workers does not count, so that a run ends at the same candidate
/// with any number of them: uncached images, which each worker needs to compare with, rechecks, repetitions after a
/// failure, and the contact sheet. Nor do results count that are copied from another run.
struct ImageBudget: Equatable {
    /// Images that may be spent; nil without a limit.
    let limit: Int?
    /// Images of a candidate.
    let imagesPerCandidate: Int
    /// Uncached images that take as long as measuring the reuse errors.
    let measurement: Double
    /// Candidates whose images are generated for this run, evaluated or not.
    var candidateCount = 0

    /// Images spent once all these candidates are evaluated.
    var spent: Double { spent(candidates: candidateCount) }

    /// Images spent with this number of candidates.
    func spent(candidates: Int) -> Double { measurement + Double(candidates * imagesPerCandidate) }

    /// Images spent without those of candidates that wait for a result.
    func spent(withOpen openCount: Int) -> Double { spent(candidates: max(0, candidateCount - openCount)) }

    /// How many more candidates can be evaluated; nil without a limit.
    var affordable: Int? {
        limit.map { max(0, Int((Double($0) - spent) / Double(imagesPerCandidate))) }
    }

    /// The largest part of a generation that can be evaluated.
    func affordable(of population: Int) -> Int { affordable.map { min($0, population) } ?? population }

    /// Why no further candidate is evaluated, for the log; nil if one can be.
    var endReason: String? {
        guard let limit, affordable == 0 else { return nil }
        return "\(Self.text(spent)) of \(Self.text(limit)) images are spent, and a candidate takes "
            + "\(Self.text(imagesPerCandidate)) (search.budget_images)"
    }

    /// Rejects a limit that does not allow a seed population of the smallest size.
    ///
    /// - Throws: ``CoordinatorError/invalidValue(file:key:expected:found:)``.
    func requireSeeds() throws {
        guard let limit, affordable(of: RunConfiguration.leastPopulation) < RunConfiguration.leastPopulation else {
            return
        }
        let least = Int(spent(candidates: RunConfiguration.leastPopulation).rounded(.up))
        let parts =
            (measurement > 0 ? "\(Self.text(measurement)) to measure reuse errors, " : "")
            + "\(RunConfiguration.leastPopulation) candidates on \(Self.text(imagesPerCandidate)) images each"
        throw CoordinatorError.invalidValue(
            file: "run configuration", key: "search.budget_images", expected: "at least \(least): \(parts)",
            found: "\(limit)")
    }

    /// "1,152"; a fraction of an image is rounded up.
    static func text(_ images: Double) -> String { text(Int(images.rounded(.up))) }

    /// "1,152".
    static func text(_ images: Int) -> String { images.groupedText }
}

extension ImageBudget {
    /// The budget of a run that begins.
    init(_ configuration: RunConfiguration, promptCount: Int) {
        limit = configuration.budgetImages
        imagesPerCandidate = promptCount * configuration.seedsPerPrompt
        let measured = configuration.measuresReuse ? min(configuration.measuredImages, imagesPerCandidate) : 0
        // The duration depends on the steps alone, not on the blocks.
        let shape = ScheduleShape.pixart(blocks: 1, steps: configuration.stepCount)
        measurement = Double(measured) * shape.reuseMeasurementImages
    }

    /// The budget of a run, and what its history says is spent.
    ///
    /// - Throws: `HistoryError`.
    init(_ configuration: RunConfiguration, promptCount: Int, of run: Int64, in history: RunHistory) throws {
        let planned = Self(configuration, promptCount: promptCount)
        // A fork without an error model has the measurements of the original.
        let measured = try history.runs.reuseErrors(of: run).reduce(0) { $0 + $1.imageEquivalents }
        self.init(
            limit: planned.limit, imagesPerCandidate: planned.imagesPerCandidate,
            measurement: max(planned.measurement, measured),
            candidateCount: try history.search.measuredCandidateCount(of: run))
    }

    /// The budget of an opened run.
    ///
    /// - Throws: `HistoryError`.
    init(_ context: RunContext) throws {
        try self.init(
            context.configuration, promptCount: context.prompts.count, of: context.runID, in: context.history)
    }
}

/// By how much a run is extended.
public enum RunExtension: Equatable, Sendable {
    /// Generations after the completed ones.
    case generations(Int)
    /// Images besides those spent.
    case images(Int)
}

extension RunConfiguration {
    /// Continues a run beyond its end; what ended it, and the stop rules, no longer apply.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError/runDirectory(path:reason:)``.
    mutating func extend(_ run: RunRecord, by extent: RunExtension, _ history: RunHistory) throws {
        stop = StopRules()
        switch extent {
        case .generations(let count):
            budgetImages = nil
            generations = try history.search.generations(of: run.id).count { $0.isFinished } + count
        case .images(let count):
            let prompts = try history.runs.prompts(of: run.id).count
            let budget = try ImageBudget(self, promptCount: prompts, of: run.id, in: history)
            guard count >= budget.imagesPerCandidate else {
                throw CoordinatorError.runDirectory(
                    path: runDirectory ?? run.name,
                    reason:
                        "an extension by \(count) images; expected at least \(budget.imagesPerCandidate), those of a candidate"
                )
            }
            budgetImages = Int(budget.spent.rounded(.up)) + count
        }
    }
}
