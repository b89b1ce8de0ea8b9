import Basics
import Diffusion
import Schedules
import Tensors

extension Evaluator {
    /// Measures the cost of each component: times the steps of a dozen designed schedules and fits a cost table.
    ///
    /// - Parameters:
    ///   - imageCount: Images denoised together; the costs hold for batches of this size.
    ///   - seconds: The time budget in seconds; one round of the designed schedules always completes.
    ///   - progress: Called before every run with the number of finished runs and the total; returns false to cancel.
    /// - Returns: The table, or nil if cancelled.
    /// - Throws: ``EvaluationsError``, `ModelsError`.
    public func measureCosts(
        imageCount: Int, seconds: Double = 20, progress: (Int, Int) -> Bool
    ) throws -> MeasuredCosts? {
        let hasGate = !shape.isFlux && settings.generation.guidanceScale > 1
        let schedules = [Schedule(shape: shape)] + CostDesign.schedules(for: shape, hasGate: hasGate)
        guard
            let measured = try measureRatios(
                of: schedules, imageCount: imageCount, seconds: seconds, progress: progress)
        else { return nil }
        hasMeasuredCosts = true
        let samples = zip(schedules, measured.steps).flatMap { schedule, ratios in
            ScheduleWork.steps(of: schedule).enumerated().map { step, work in
                CostFit.Sample(work: work, isFirst: step == 0, seconds: ratios[step] * measured.uncachedSeconds)
            }
        }
        let table = CostFit(shape: shape, hasGate: hasGate).table(from: samples, imageCount: imageCount)
        let errors = zip(schedules, measured.ratios).map { abs((table.ratio(of: $0) ?? .infinity) / $1 - 1) }
        return MeasuredCosts(
            table: table, uncachedSeconds: measured.uncachedSeconds, fitError: Self.median(errors))
    }

    /// Times schedules relative to the uncached reference.
    ///
    /// Runs the schedules in rounds, each in a random order, with the reference after every few schedules, so that neither
    /// drift nor temporary disturbances bias a schedule's median.
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
        guard !prompts.isEmpty else { throw EvaluationsError.unknownPrompt(index: 0, count: 0) }
        for (index, schedule) in schedules.enumerated() where schedule.shape != shape {
            throw EvaluationsError.scheduleShape(candidate: Int64(index))
        }
        let plans = try schedules.map(ExecutionPlan.init)
        let session = try session(imageCount: imageCount)
        let items = (0..<imageCount).map { EvaluationItem(prompt: $0 % prompts.count, seed: UInt64($0)) }
        var generator = SplitMix64(seed: 1)
        // Per schedule and round, the ratios of the steps.
        var runs = [[[Double]]](repeating: [], count: schedules.count)
        var references: [Double] = []
        let groupCount =
            (schedules.count + Self.candidatesBetweenReferences - 1) / Self.candidatesBetweenReferences
        let runsInRound = schedules.count + groupCount + 1
        var (roundCount, runCount) = (1, 0)
        let clock = ContinuousClock()
        let start = clock.now
        var round = 0
        func run(_ plan: ExecutionPlan) throws -> [Double]? {
            guard progress(runCount, roundCount * runsInRound) else { return nil }
            runCount += 1
            return try time(plan, items, session)
        }
        while round < roundCount {
            var order = Array(schedules.indices)
            for last in stride(from: order.count - 1, to: 0, by: -1) {
                order.swapAt(last, Int(generator.unit() * Double(last + 1)))
            }
            guard var before = try run(uncached)?.sum else { return nil }
            references.append(before)
            for first in stride(from: 0, to: order.count, by: Self.candidatesBetweenReferences) {
                let group = order[first..<min(first + Self.candidatesBetweenReferences, order.count)]
                var measured: [(Int, [Double])] = []
                for index in group {
                    guard let seconds = try run(plans[index]) else { return nil }
                    measured.append((index, seconds))
                }
                guard let after = try run(uncached)?.sum else { return nil }
                references.append(after)
                for (index, seconds) in measured { runs[index].append(seconds.map { $0 / ((before + after) / 2) }) }
                before = after
            }
            round += 1
            if round == 1 {
                let roundSeconds = (clock.now - start) / .seconds(1)
                roundCount = min(max(Int(seconds / roundSeconds), 1), 15)
            }
        }
        return MeasuredRatios(
            ratios: runs.map { Self.median($0.map(\.sum)) }, uncachedSeconds: Self.median(references),
            steps: runs.map { runs in
                (0..<shape.stepCount).map { step in Self.median(runs.map { $0[step] }) }
            })
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    /// The seconds of every step of a run; the first includes the one-off work before it and after the last.
    private func time(
        _ plan: ExecutionPlan, _ items: [EvaluationItem], _ session: any DenoisingSession
    ) throws -> [Double] {
        try clearCaches(session)
        session.drawNoise(seeds: items.map(\.seed))
        let itemPrompts = items.map { prompts[$0.prompt] }
        var readings: [Double] = []
        readings.reserveCapacity(shape.stepCount + 1)
        readings.append(ComputeClock.now)
        try session.denoise(
            prompts: itemPrompts, negative: negative, plan: plan,
            afterStep: { _ in readings.append(ComputeClock.now) })
        let end = ComputeClock.now
        var steps = zip(readings.dropFirst(), readings).map { $0 - $1 }
        if let last = readings.last, !steps.isEmpty { steps[0] += end - last }
        return steps
    }
}

extension [Double] {
    fileprivate var sum: Double { reduce(0, +) }
}
