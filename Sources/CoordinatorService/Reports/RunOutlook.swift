import Basics
import Evolution
import Foundation
import History

/// What a front is worth beyond its images, and what more images would bring.
public struct RunOutlook: Sendable, Encodable {
    /// Growth of the hypervolume by the last generation, in units of the hypervolume before it.
    fileprivate struct Growth: Encodable {
        /// Images of the next or last generation.
        let images: Int
        /// Expected of the error model; nil without one, or if the run has not ended.
        var expected: Double?
        /// What the last generation brought.
        var last: Double?
        /// What the error model expected of it before.
        var lastExpected: Double?

        private enum CodingKeys: String, CodingKey {
            case images, expected, last
            case lastExpected = "last_expected"
        }
    }

    /// The front on prompts that did not choose it.
    fileprivate struct HeldOut: Encodable {
        let prompts: Int
        let hypervolume: Double
        /// Bounds of the 95 % interval.
        let low, high: Double
        /// Share of the shown hypervolume that the held-out prompts do not confirm.
        let optimism: Double
        /// Growth of the hypervolume in the second half of the generations, relative to its end; nil with too few.
        let lateGrowth: Double?

        private enum CodingKeys: String, CodingKey {
            case prompts, hypervolume, low, high, optimism
            case lateGrowth = "late_growth"
        }
    }

    private let growth: Growth?
    private let heldOut: HeldOut?
    private let promptCount: Int

    private enum CodingKeys: String, CodingKey {
        case growth
        case heldOut = "held_out"
    }

    init(_ context: RunContext) throws {
        try self.init(
            context.history, try context.history.runs.snapshot(context.runID).run, context.configuration)
    }

    /// Reads a run, finished or running.
    ///
    /// - Throws: `HistoryError`.
    init(_ history: RunHistory, _ run: RunRecord, _ configuration: RunConfiguration) throws {
        let candidates = try history.search.candidates(of: run.id)
        let hypervolumes = try history.search.generations(of: run.id).filter(\.isFinished).map { $0.hypervolume ?? 0 }
        promptCount = try history.runs.prompts(of: run.id).count
        let reference = run.reference.map { [$0.cost, -$0.quality] }
        growth = try Self.growth(
            history, run, configuration, candidates, hypervolumes, reference, prompts: promptCount)
        heldOut = try reference.flatMap { reference -> HeldOut? in
            let scores = try history.results.promptScores(of: run.id, scorer: configuration.quality.names)
            let measured = candidates.compactMap { candidate in
                candidate.evaluation.flatMap { totals in scores[candidate.id].map { (totals.cost, $0) } }
            }
            let front = HeldOutFront(
                costs: measured.map(\.0), losses: measured.map { $0.1.map { -$0 } }, reference: reference)
            return front.map { HeldOut($0, hypervolumes) }
        }
    }

    // MARK: - Growth

    /// Kind of the event that stores what another generation is expected to bring.
    private static let event = "expected-growth"

    /// The event's text.
    private struct Forecast: Codable {
        /// Completed generations when it was made.
        let generations: Int
        /// Expected growth in units of the hypervolume.
        let growth: Double
    }

    /// Stores what another generation is expected to add to the hypervolume.
    ///
    /// - Throws: `HistoryError`.
    static func record(_ growth: Double, of run: Calibration) throws {
        let forecast = Forecast(
            generations: try run.history.search.generations(of: run.runID).count { $0.isFinished }, growth: growth)
        let json = String(decoding: try JSONEncoder().encode(forecast), as: UTF8.self)
        try run.history.events.record(event, json, run: run.runID)
    }

    private static func growth(
        _ history: RunHistory, _ run: RunRecord, _ configuration: RunConfiguration, _ candidates: [CandidateRecord],
        _ hypervolumes: [Double], _ reference: [Double]?, prompts: Int
    ) throws -> Growth? {
        guard let now = hypervolumes.last, now > 0 else { return nil }
        var growth = Growth(images: configuration.population * prompts * configuration.seedsPerPrompt)
        if let text = try history.events.latest(event, of: run.id) {
            let forecast = try? JSONDecoder().decode(Forecast.self, from: Data(text.utf8))
            // A run that was extended has no use for the forecast of its former end.
            growth.expected = forecast.flatMap { forecast in
                guard forecast.generations == hypervolumes.count else { return nil }
                return forecast.growth * trackRecord(before: hypervolumes.count, candidates, hypervolumes, reference)
                    / now
            }
        }
        if hypervolumes.count > 1, hypervolumes[hypervolumes.count - 2] > 0 {
            let before = hypervolumes[hypervolumes.count - 2]
            growth.last = (now - before) / before
            let last = hypervolumes.count - 1
            growth.lastExpected = reference.flatMap { expectedGrowth(of: last, candidates, $0) }.map { expected in
                expected * trackRecord(before: last, candidates, hypervolumes, reference) / before
            }
        }
        return growth
    }

    /// Generations whose forecasts are compared with what they brought.
    private static let trackRecordLength = 3

    /// What the generations before brought of what the error model had expected of them; 1 where that is unknown.
    ///
    /// The model takes the errors of its predictions as independent, but it is wrong about similar schedules in similar ways, and
    /// those that it is too hopeful of are proposed: with a quality that falls steeply it promises too much.
    private static func trackRecord(
        before generation: Int, _ candidates: [CandidateRecord], _ hypervolumes: [Double], _ reference: [Double]?
    ) -> Double {
        guard let reference else { return 1 }
        var (brought, expected) = (0.0, 0.0)
        for earlier in max(1, generation - trackRecordLength)..<max(1, generation) {
            guard let growth = expectedGrowth(of: earlier, candidates, reference) else { continue }
            expected += growth
            brought += hypervolumes[earlier] - hypervolumes[earlier - 1]
        }
        return expected > 0 ? max(0, brought) / expected : 1
    }

    /// What the error model expected of a generation that is complete, by the predictions of that time.
    private static func expectedGrowth(
        of generation: Int, _ candidates: [CandidateRecord], _ reference: [Double]
    ) -> Double? {
        let front = candidates.filter { $0.generation ?? .max < generation }.compactMap(\.evaluation).map {
            [$0.cost, -$0.quality]
        }
        let forecasts = candidates.filter { $0.generation == generation }.compactMap(\.forecast)
        return forecasts.isEmpty ? nil : ExpectedGrowth.mean(of: front, by: forecasts, reference: reference)
    }

    // MARK: - Text

    /// Sentences for the log and for `status`.
    var lines: [String] { [growthLine, heldOutLine].compactMap(\.self) }

    /// What more images are expected to bring.
    var growthLine: String? {
        guard let growth else { return nil }
        func percent(_ share: Double) -> String { String(format: "%.2g %%", 100 * share) }
        let last = growth.last.map { last in
            percent(last) + (growth.lastExpected.map { ", \(percent($0)) expected" } ?? "")
        }
        guard let expected = growth.expected else {
            return last.map { "the last generation raised the hypervolume by \($0)" }
        }
        return "another \(ImageBudget.text(growth.images)) images are expected to raise the hypervolume by "
            + percent(expected) + (last.map { " (last generation: \($0))" } ?? "")
    }

    /// How the front does on prompts that did not choose it.
    var heldOutLine: String? {
        guard let heldOut else {
            return promptCount < HeldOutFront.leastPromptCount
                ? "with \(promptCount) prompts it is unknown how much of the front is luck; expected at least "
                    + "\(HeldOutFront.leastPromptCount)" : nil
        }
        let side = heldOut.optimism < 0 ? "above" : "below"
        let line =
            "front on prompts that did not choose it: hypervolume "
            + String(format: "%.4g (95 %%: %.4g to %.4g), ", heldOut.hypervolume, heldOut.low, heldOut.high)
            + String(format: "%.1f %% \(side) what the calibration prompts say", 100 * abs(heldOut.optimism))
        return line + (heldOut.morePrompts.map { "; with about \(ImageBudget.text($0)) more prompts within 1 %" } ?? "")
    }

    /// Says that luck exceeds what the search has found lately; nil if it does not.
    var warning: String? {
        guard let heldOut, let late = heldOut.lateGrowth, heldOut.optimism > late else { return nil }
        return String(
            format: "luck on %d prompts (%.1f %% of the hypervolume) exceeds what the second half of the generations "
                + "brought (%.1f %%): more prompts are worth more than more generations",
            heldOut.prompts, 100 * heldOut.optimism, 100 * late)
    }
}

extension RunOutlook.HeldOut {
    fileprivate init(_ front: HeldOutFront, _ hypervolumes: [Double]) {
        prompts = front.promptCount
        hypervolume = front.hypervolume
        (low, high) = (front.interval.lowerBound, front.interval.upperBound)
        optimism = front.optimism
        let half = hypervolumes.count / 2
        lateGrowth =
            half > 0 && front.shown > 0
            ? (hypervolumes[hypervolumes.count - 1] - hypervolumes[half - 1]) / front.shown : nil
    }

    /// The optimism aimed at.
    private static let target = 0.01
    /// Optimism falls with this power of the number of prompts: from 4 to 8 prompts of four runs of bundled models, with
    /// PSNR and Image Reward, the powers were 0.5 to 1.3, and 1.0 on average.
    private static let power = 1.0

    /// Prompts to add until the optimism is about ``target``; nil if it is less.
    fileprivate var morePrompts: Int? {
        guard optimism > Self.target else { return nil }
        let needed = Double(prompts) * pow(optimism / Self.target, 1 / Self.power)
        return Int((needed - Double(prompts)).rounded(.up))
    }
}

extension CandidateRecord {
    /// What the error model expected of it, at its measured cost.
    fileprivate var forecast: ExpectedGrowth.Forecast? {
        guard let cost = evaluation?.cost, let quality = prediction?.quality, let deviation = prediction?.deviation
        else { return nil }
        return ExpectedGrowth.Forecast(cost: cost, loss: -quality, deviation: deviation)
    }
}
