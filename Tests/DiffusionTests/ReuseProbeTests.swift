import ModelConfiguration
import Models
import Schedules
import Tensors
import Testing

@testable import Diffusion

/// Measured reuse errors against whole runs of schedules.
@Suite struct ReuseProbeTests {
    private static let steps = 5

    private static func distance(_ first: [Float], _ second: [Float]) -> Double {
        zip(first, second).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    }

    /// Summed over all chains, reuse from the previous step is the change of the final latents by a schedule that reuses
    /// everything at that step.
    @Test(arguments: ["alpha-small", "flux-small"])
    func totalsEqualTheErrorsOfWholeSchedules(_ fixture: String) throws {
        let engine = try Engine(fixture, maxLength: 9)
        let settings = Engine.settings(steps: Self.steps)
        let values = try #require(
            try engine.model.reuseErrors(
                prompt: engine.prompts[0], negative: engine.negative, seed: 7, settings: settings,
                progress: { _ in true }))
        let shape = try engine.model.scheduleShape(stepCount: Self.steps)
        let pairs = Self.steps * (Self.steps - 1) / 2
        #expect(values.count == shape.genesPerStep * pairs && values.allSatisfy { $0.isFinite && $0 >= 0 })
        let session = try engine.session(steps: Self.steps)
        let uncached = try engine.latents(session, engine.periodic(1, steps: Self.steps))
        for step in 1..<Self.steps {
            var schedule = try engine.periodic(1, steps: Self.steps)
            for chain in 0..<shape.genesPerStep { schedule[step * shape.genesPerStep + chain] = .reuse }
            let expected = Self.distance(try engine.latents(session, schedule), uncached)
            let total = (0..<shape.genesPerStep).reduce(0.0) {
                $0 + Double(values[$1 * pairs + step * (step - 1) / 2 + step - 1])
            }
            #expect(expected > 0 && abs(total / expected - 1) < 1e-4, "step \(step)")
        }
    }

    /// Within a step, entries are in proportion to the squared changes of the components' gated outputs.
    @Test(arguments: ["alpha-small", "flux-small"])
    func proportionsEqualTheChangesOfTheOutputs(_ fixture: String) throws {
        let engine = try Engine(fixture, maxLength: 9)
        let settings = Engine.settings(steps: Self.steps)
        let values = try #require(
            try engine.model.reuseErrors(
                prompt: engine.prompts[0], negative: engine.negative, seed: 7, settings: settings,
                progress: { _ in true }))
        let shape = try engine.model.scheduleShape(stepCount: Self.steps)
        func changes(_ session: some BranchingSession) throws -> [[[Double]]] {
            let extents = shape.blocks.flatMap(\.components).map(\.extent)
            let count = extents.count
            session.drawNoise(seeds: [7])
            // One slot for each chain and step.
            try session.begin(
                prompts: [engine.prompts[0]], negative: engine.negative,
                slots: (0..<Self.steps).flatMap { _ in extents })
            for step in 0..<Self.steps {
                session.step(step, actions: (0..<count).map { .computeAndKeep(slot: step * count + $0) })
            }
            return (0..<Self.steps).map { step in
                (0..<step).map { source in
                    (0..<count).map { chain in
                        let now = session.contributions(ofChain: chain, slot: step * count + chain, step: step)
                        let then = session.contributions(ofChain: chain, slot: source * count + chain, step: step)
                        return zip(now, then).reduce(0) { sum, pair in
                            var sum = sum
                            for row in 0..<pair.0.output.rows {
                                for column in 0..<pair.0.output.columns {
                                    let change = pair.0.output[row, column] - pair.1.output[row, column]
                                    sum += Double(pair.0.squaredGains[column] * change * change)
                                }
                            }
                            return sum
                        }
                    }
                }
            }
        }
        let session = try #require(
            try engine.model.session(imageCount: 1, settings: settings) as? any BranchingSession)
        let exact = try changes(session)
        let pairs = Self.steps * (Self.steps - 1) / 2
        for step in 1..<Self.steps {
            let scale =
                (0..<shape.genesPerStep).reduce(0.0) {
                    $0 + Double(values[$1 * pairs + step * (step - 1) / 2 + step - 1])
                } / exact[step][step - 1].reduce(0, +)
            for source in 0..<step {
                let found = (0..<shape.genesPerStep).map { Double(values[$0 * pairs + step * (step - 1) / 2 + source]) }
                for chain in found.indices {
                    // Sixteen random projections of a change in one channel have a standard deviation of 0.35 of it.
                    let expected = scale * exact[step][source][chain]
                    #expect(abs(found[chain] - expected) <= expected, "\(chain) at \(step) from \(source)")
                }
                #expect(abs(found.reduce(0, +) / (scale * exact[step][source].reduce(0, +)) - 1) < 0.2)
            }
        }
    }

    /// The session is left as a fresh one would be.
    @Test(arguments: ["alpha-small", "flux-small"])
    func measurementIsDeterministicAndCancellable(_ fixture: String) throws {
        let engine = try Engine(fixture, maxLength: 9)
        var shares: [Double] = []
        func measure(_ progress: (Double) -> Bool) throws -> [Float]? {
            try engine.model.reuseErrors(
                prompt: engine.prompts[2], negative: engine.negative, seed: 3,
                settings: Engine.settings(steps: Self.steps), progress: progress)
        }
        let first = try measure {
            shares.append($0)
            return true
        }
        #expect(try first == measure { _ in true })
        #expect(shares == shares.sorted() && shares.last == 1 && shares.count == Self.steps)
        #expect(try measure { $0 < 0.5 } == nil)
        #expect(ScheduleShape.pixart(steps: 20).reuseMeasurementImages == 10.5)
    }
}
