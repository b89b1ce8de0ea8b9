import Basics
import Diffusion
import Schedules
import Tensors

extension Evaluator {
    /// Measures the cost of each component: times the steps of a dozen designed schedules and fits a cost table.
    ///
    /// - Parameters:
    ///   - imageCount: Images denoised together; the costs hold for batches of this size.
    ///   - seconds: The time budget in seconds; one round of the designed schedules always completes, and the measurement
    ///     ends earlier once the table is precise, see ``MeasurementPlan``.
    ///   - progress: Called before every run with the number of finished runs and the expected total; returns false to
    ///     cancel.
    /// - Returns: The table, or nil if cancelled.
    /// - Throws: ``EvaluationsError``, `ModelsError`.
    public func measureCosts(
        imageCount: Int, seconds: Double = 20, progress: (Int, Int) -> Bool
    ) throws -> MeasuredCosts? {
        let hasGate = !shape.isFlux && settings.generation.guidanceScale > 1
        let schedules = [Schedule(shape: shape)] + CostDesign.schedules(for: shape, hasGate: hasGate)
        let fit = CostFit(shape: shape, hasGate: hasGate)
        func fitted(_ measured: MeasuredRatios) -> CostTable {
            let samples = zip(schedules, measured.steps).flatMap { schedule, ratios in
                ScheduleWork.steps(of: schedule).enumerated().map { step, work in
                    CostFit.Sample(work: work, isFirst: step == 0, seconds: ratios[step] * measured.uncachedSeconds)
                }
            }
            return fit.table(from: samples, imageCount: imageCount)
        }
        let plan = MeasurementPlan(seconds: seconds) { rounds in
            rounds.splitHalfError { measured in
                let table = fitted(measured)
                return schedules.map { table.ratio(of: $0) ?? .nan }
            }
        }
        guard
            let measured = try measureRatios(of: schedules, imageCount: imageCount, plan: plan, progress: progress)
        else { return nil }
        let table = fitted(measured)
        let errors = zip(schedules, measured.ratios).map { abs((table.ratio(of: $0) ?? .infinity) / $1 - 1) }
        return MeasuredCosts(
            table: table, uncachedSeconds: measured.uncachedSeconds, fitError: Self.median(errors))
    }

    /// Times schedules relative to the uncached reference for a fixed time.
    ///
    /// - Parameters:
    ///   - schedules: The schedules.
    ///   - imageCount: Images denoised together, with the run's first prompts.
    ///   - seconds: The time budget in seconds, for one to fifteen rounds.
    ///   - progress: As for ``measureCosts(imageCount:seconds:progress:)``.
    /// - Returns: The ratios, or nil if cancelled.
    /// - Throws: ``EvaluationsError``, `ModelsError`.
    public func measureRatios(
        of schedules: [Schedule], imageCount: Int, seconds: Double, progress: (Int, Int) -> Bool
    ) throws -> MeasuredRatios? {
        try measureRatios(
            of: schedules, imageCount: imageCount, plan: MeasurementPlan(seconds: seconds), progress: progress)
    }

    /// Times schedules relative to the uncached reference.
    ///
    /// Runs the schedules in rounds, each in a random order, with the reference after every few schedules, so that neither
    /// drift nor temporary disturbances bias a schedule's median.
    private func measureRatios(
        of schedules: [Schedule], imageCount: Int, plan: MeasurementPlan, progress: (Int, Int) -> Bool
    ) throws -> MeasuredRatios? {
        guard !prompts.isEmpty else { throw EvaluationsError.unknownPrompt(index: 0, count: 0) }
        for (index, schedule) in schedules.enumerated() where schedule.shape != shape {
            throw EvaluationsError.scheduleShape(candidate: Int64(index))
        }
        let plans = try schedules.map(ExecutionPlan.init)
        let session = try session(imageCount: imageCount)
        let items = (0..<imageCount).map { EvaluationItem(prompt: $0 % prompts.count, seed: UInt64($0)) }
        var generator = SplitMix64(seed: 1)
        var rounds: [TimedRound] = []
        let groupCount =
            (schedules.count + Self.candidatesBetweenReferences - 1) / Self.candidatesBetweenReferences
        let runsInRound = schedules.count + groupCount + 1
        var (roundCount, runCount) = (1, 0)
        let clock = ContinuousClock()
        let start = clock.now
        func run(_ plan: ExecutionPlan) throws -> [Double]? {
            guard progress(runCount, roundCount * runsInRound) else { return nil }
            runCount += 1
            return try time(plan, items, session)
        }
        while rounds.count < roundCount {
            var order = Array(schedules.indices)
            for last in stride(from: order.count - 1, to: 0, by: -1) {
                order.swapAt(last, Int(generator.unit() * Double(last + 1)))
            }
            var round = TimedRound(steps: Array(repeating: [], count: schedules.count), references: [])
            guard var before = try run(uncached)?.sum else { return nil }
            round.references.append(before)
            // The first estimate, of a round of uncached runs only.
            if rounds.isEmpty { roundCount = plan.roundCount(of: Double(runsInRound) * before) }
            for first in stride(from: 0, to: order.count, by: Self.candidatesBetweenReferences) {
                let group = order[first..<min(first + Self.candidatesBetweenReferences, order.count)]
                var measured: [(Int, [Double])] = []
                for index in group {
                    guard let seconds = try run(plans[index]) else { return nil }
                    measured.append((index, seconds))
                }
                guard let after = try run(uncached)?.sum else { return nil }
                round.references.append(after)
                for (index, seconds) in measured { round.steps[index] = seconds.map { $0 / ((before + after) / 2) } }
                before = after
            }
            rounds.append(round)
            roundCount = plan.roundCount(after: rounds, seconds: (clock.now - start) / .seconds(1))
        }
        _ = progress(runCount, runCount)
        return MeasuredRatios(rounds)
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    /// The seconds of every step of a run; the first includes the work before it.
    private func time(
        _ plan: ExecutionPlan, _ items: [EvaluationItem], _ session: any DenoisingSession
    ) throws -> [Double] {
        session.drawNoise(seeds: items.map(\.seed))
        let itemPrompts = items.map { prompts[$0.prompt] }
        var readings: [Double] = []
        readings.reserveCapacity(shape.stepCount + 1)
        readings.append(ComputeClock.now)
        try session.denoise(
            prompts: itemPrompts, negative: negative, plan: plan,
            afterStep: { _ in readings.append(ComputeClock.now) })
        return zip(readings.dropFirst(), readings).map { $0 - $1 }
    }
}

extension [Double] {
    fileprivate var sum: Double { reduce(0, +) }
}

/// The runs of one round: every schedule once, with the uncached reference before, between and after them.
struct TimedRound {
    /// Per schedule and step, the step's duration relative to the mean of the whole references before and after the run.
    var steps: [[Double]]
    /// Durations of the uncached reference in seconds.
    var references: [Double]
}

extension MeasuredRatios {
    /// The medians over rounds.
    init(_ rounds: [TimedRound]) {
        let schedules = rounds.first?.steps.indices ?? 0..<0
        ratios = schedules.map { schedule in Evaluator.median(rounds.map { $0.steps[schedule].sum }) }
        steps = schedules.map { schedule in
            (rounds.first?.steps[schedule].indices ?? 0..<0).map { step in
                Evaluator.median(rounds.map { $0.steps[schedule][step] })
            }
        }
        uncachedSeconds = Evaluator.median(rounds.flatMap(\.references))
    }
}

/// When a measurement in rounds ends: with its time budget, after 15 rounds, or as soon as its result is precise.
struct MeasurementPlan {
    /// Fewer rounds do not tell how precise they are.
    static let minRoundCount = 4
    static let maxRoundCount = 15
    /// The relative standard error up to which a result is precise: small against the systematic error of a cost table, of 1 %
    /// in the median and 3 % in the 95th percentile.
    static let tolerance = 0.005

    /// The time budget in seconds; one round always completes.
    let seconds: Double
    /// Estimates the relative standard error of the result from the rounds so far; nil to use all of the budget.
    var error: (([TimedRound]) -> Double)?

    /// The number of rounds within the budget.
    ///
    /// - Parameter roundSeconds: Duration of a round.
    /// - Returns: 1 to 15.
    func roundCount(of roundSeconds: Double) -> Int {
        (1...Self.maxRoundCount).last { Double($0) * roundSeconds <= seconds } ?? 1
    }

    /// The total number of rounds to expect; the measurement ends when as many are complete.
    ///
    /// - Parameters:
    ///   - rounds: The complete rounds.
    ///   - elapsed: Their duration in seconds.
    /// - Returns: The number, at least that of the complete rounds.
    func roundCount(after rounds: [TimedRound], seconds elapsed: Double) -> Int {
        let limit = max(roundCount(of: elapsed / Double(rounds.count)), rounds.count)
        guard let error, limit > rounds.count else { return limit }
        guard rounds.count >= Self.minRoundCount else { return min(limit, Self.minRoundCount) }
        let excess = error(rounds) / Self.tolerance
        guard excess.isFinite else { return limit }
        if excess <= 1 { return rounds.count }
        // Standard errors fall with the root of the number of rounds.
        return max(rounds.count + 1, Int(min(Double(rounds.count) * excess * excess, Double(limit))))
    }
}

extension [TimedRound] {
    /// The relative standard error of a result, typical of its values: from the differences between the result of half of the
    /// rounds and that of the others.
    ///
    /// A difference of two halves has twice the standard error of the whole. Of the differences between several halves, for
    /// all values, the median is taken, which outliers do not move.
    ///
    /// - Parameter result: Computes the values from medians over rounds.
    /// - Returns: The error for normally distributed values.
    func splitHalfError(of result: (MeasuredRatios) -> [Double]) -> Double {
        var generator = SplitMix64(seed: 1)
        // More halves take longer and tell little more.
        let differences = (0..<8).flatMap { _ in
            let order = shuffled(using: &generator)
            let halves = (order.prefix(count / 2), order.dropFirst(count / 2))
            return zip(result(MeasuredRatios(Array(halves.0))), result(MeasuredRatios(Array(halves.1))))
                .map { abs($0 - $1) / ($0 + $1) }
        }
        return 1.4826 * Evaluator.median(differences)
    }
}
