import Basics
import ModelConfiguration
import Models
import Schedules
import Tensors

/// Measures on uncached trajectories how much reuse of each component's output changes the final latents.
///
/// An entry of the result is the product of two factors:
/// - The local change: the squared difference, weighted by the gates of the later step, between what the component adds to
///   the residual stream at the two steps.
/// - The gain of the step: the squared distance of the final latents from the uncached ones if everything is reused at
///   that step alone, per unit of local change.
///
/// Outputs are not stored. Each is reduced to a few random projections over its tokens, whose squared differences have the
/// right expectation (Johnson and Lindenstrauss 1984); with as many tokens or fewer they are exact.
final class ReuseProbe<Session: BranchingSession> {
    /// Projections of each output.
    private static var projectionCount: Int { 16 }

    private let session: Session
    private let shape: ScheduleShape
    private let stepCount: Int
    private let keep: [ComponentAction]
    private let reuse: [ComponentAction]
    private let extents: [ComponentExtent]

    init(_ session: Session, shape: ScheduleShape) {
        self.session = session
        self.shape = shape
        stepCount = shape.stepCount
        let chains = 0..<shape.genesPerStep
        keep = chains.map { .computeAndKeep(slot: $0) }
        reuse = chains.map { .reuse(slot: $0) }
        extents = shape.blocks.flatMap(\.components).map(\.extent)
    }

    /// Measures one image, whose noise is in the session's latents.
    ///
    /// - Parameters:
    ///   - prompt: The prompt.
    ///   - negative: The negative prompt.
    ///   - progress: Called after each branch with the finished share; returns false to cancel.
    /// - Returns: The errors in the layout of `ReuseErrors.values`, or nil if cancelled.
    /// - Throws: ``DiffusionError``, `ModelsError`.
    func measure(
        prompt: DiffusionModel.Prompt, negative: DiffusionModel.Prompt, progress: (Double) -> Bool
    ) throws -> [Float]? {
        precondition(session.imageCount == 1, "a probe measures one image at a time")
        try session.begin(prompts: [prompt], negative: negative, slots: extents)
        var sketches: [[Sketch]] = []  // [steps][chains]
        var branches: [Matrix] = []  // the final latents of the branch at each step from 1 onward
        let branchSteps = (stepCount - 1) * (stepCount - 2) / 2 + stepCount
        var stepsDone = 0
        var uncached = session.latents
        for step in 0..<stepCount {
            if step > 0 {
                let state = session.state
                session.step(step, actions: reuse)
                for later in (step + 1)..<max(step + 1, stepCount) { session.step(later, actions: compute) }
                branches.append(session.latents.copied())
                session.state = state
                stepsDone += stepCount - step - 1
            }
            session.step(step, actions: keep)
            stepsDone += 1
            sketches.append(
                extents.indices.map { Sketch(session.contributions(ofChain: $0, slot: $0, step: step), chain: $0) })
            guard progress(Double(stepsDone) / Double(branchSteps)) else { return nil }
        }
        uncached = session.latents.copied()
        let gains = branches.map { Self.squaredDistance($0, uncached) }
        return errors(sketches, gains)
    }

    private var compute: [ComponentAction] { keep.map { _ in .compute } }

    /// Local changes times the gains of their steps.
    private func errors(_ sketches: [[Sketch]], _ finalErrors: [Double]) -> [Float] {
        var local = [Float](repeating: 0, count: shape.genesPerStep * stepCount * (stepCount - 1) / 2)
        var totals = [Double](repeating: 0, count: stepCount)
        var index = 0
        for chain in 0..<shape.genesPerStep {
            for step in 0..<stepCount {
                for source in 0..<step {
                    let change = sketches[step][chain].squaredDistance(to: sketches[source][chain])
                    local[index] = Float(change)
                    if source == step - 1 { totals[step] += change }
                    index += 1
                }
            }
        }
        index = 0
        for _ in 0..<shape.genesPerStep {
            for step in 0..<stepCount {
                let gain = step > 0 && totals[step] > 0 ? finalErrors[step - 1] / totals[step] : 0
                for _ in 0..<step {
                    local[index] *= Float(gain)
                    index += 1
                }
            }
        }
        return local
    }

    private static func squaredDistance(_ first: Matrix, _ second: Matrix) -> Double {
        zip(first.values, second.values).reduce(0) { sum, pair in
            let difference = Double(pair.0 - pair.1)
            return sum + difference * difference
        }
    }

    /// Projections of a component's contributions at one step, and the squared gains of their channels there.
    private struct Sketch {
        /// `[contributions][projections · channels]`.
        private let values: [[Float]]
        private let squaredGains: [[Float]]

        init(_ contributions: [ComponentContribution], chain: Int) {
            values = contributions.enumerated().map { Self.project($1.output, seed: UInt64(chain << 8 + $0)) }
            squaredGains = contributions.map(\.squaredGains)
        }

        /// With the gains of this step.
        func squaredDistance(to earlier: Sketch) -> Double {
            var sum = 0.0
            for index in values.indices {
                let (now, then, gains) = (values[index], earlier.values[index], squaredGains[index])
                for row in 0..<(now.count / gains.count) {
                    var rowSum: Float = 0
                    for channel in gains.indices {
                        let difference = now[row * gains.count + channel] - then[row * gains.count + channel]
                        rowSum += gains[channel] * difference * difference
                    }
                    sum += Double(rowSum)
                }
            }
            return sum
        }

        /// Sums over the tokens with random signs, or the tokens themselves if they are few: `[projections, channels]`.
        private static func project(_ output: Matrix, seed: UInt64) -> [Float] {
            let count = ReuseProbe.projectionCount
            guard output.rows > count else {
                return (0..<output.rows).flatMap { Array(output.rows($0..<($0 + 1)).values) }
            }
            // The same signs at every step: differences of projections are projections of differences.
            var generator = SplitMix64(seed: seed)
            let scale = 1 / Float(count).squareRoot()
            var sums = [Float](repeating: 0, count: count * output.columns)
            sums.withUnsafeMutableBufferPointer { sums in
                for token in 0..<output.rows {
                    let bits = generator.next()
                    let row = output.pointer + token * output.stride
                    for projection in 0..<count {
                        let sign = bits >> UInt64(projection) & 1 == 1 ? scale : -scale
                        for channel in 0..<output.columns {
                            sums[projection * output.columns + channel] += sign * row[channel]
                        }
                    }
                }
            }
            return Array(sums)
        }
    }
}

extension DiffusionModel {
    /// Measures how much reuse of each component's output changes the final latents of one image.
    ///
    /// - Parameters:
    ///   - prompt: The prompt.
    ///   - negative: The negative prompt.
    ///   - seed: The seed of the initial noise.
    ///   - settings: Size, steps and guidance.
    ///   - progress: Called with the finished share of the work; returns false to cancel.
    /// - Returns: For each chain, step and earlier step the predicted squared change, in the layout of
    ///   `ReuseErrors.values`; nil if cancelled.
    /// - Throws: ``DiffusionError``, `ModelsError`.
    public func reuseErrors(
        prompt: Prompt, negative: Prompt, seed: UInt64, settings: GenerationSettings, progress: (Double) -> Bool
    ) throws -> [Float]? {
        let shape = try scheduleShape(stepCount: settings.stepCount)
        func measure(_ session: some BranchingSession) throws -> [Float]? {
            session.drawNoise(seeds: [seed])
            return try ReuseProbe(session, shape: shape).measure(
                prompt: prompt, negative: negative, progress: progress)
        }
        guard let session = try session(imageCount: 1, settings: settings) as? any BranchingSession else {
            preconditionFailure("every session can branch")
        }
        return try measure(session)
    }
}
