import Models
import Schedules
import Tensors
import TestSupport
import Testing

@testable import Diffusion

@Suite struct DenoisingSessionTests {
    private let engine: Engine

    init() throws {
        engine = try Engine()
    }

    @Test func recomputingEverythingMatchesTheDefaultSchedule() throws {
        let session = try engine.session()
        let scheduled = try engine.latents(session, engine.periodic(1))
        // The default schedule computes every component and caches nothing.
        session.drawNoise(seeds: [7])
        let plan = try ExecutionPlan(Schedule(shape: engine.model.scheduleShape(stepCount: 6)))
        #expect(plan.slots.isEmpty)
        try session.denoise(prompts: [engine.prompts[0]], negative: engine.negative, plan: plan)
        #expect(session.latents.values == scheduled)
        #expect(scheduled.allSatisfy { $0.isFinite })
    }

    @Test func cachingOutputsHasNoEffectUntilReuse() throws {
        let session = try engine.session()
        var schedule = try engine.periodic(1)
        for gene in 0..<schedule.shape.genesPerStep { schedule[5 * schedule.shape.genesPerStep + gene] = .reuse }
        func trajectory(_ schedule: Schedule) throws -> [[Float]] {
            var steps: [[Float]] = []
            session.drawNoise(seeds: [7])
            try session.denoise(
                prompts: [engine.prompts[0]], negative: engine.negative, plan: ExecutionPlan(schedule)
            ) { step in
                #expect(step == steps.count)
                steps.append(session.latents.values)
            }
            return steps
        }
        let (cached, plain) = (try trajectory(schedule), try trajectory(engine.periodic(1)))
        #expect(cached.count == 6)
        #expect(cached[..<5] == plain[..<5])
        #expect(cached[5] != plain[5])
    }

    @Test(arguments: 0..<6)
    func reusingAnyComponentChangesTheLatents(_ component: Int) throws {
        let session = try engine.session()
        var schedule = try engine.periodic(1)
        schedule[2 * schedule.shape.genesPerStep + component] = .reuse
        #expect(try engine.latents(session, schedule) != engine.latents(session, engine.periodic(1)))
    }

    @Test func reuseAtTheFirstStepHasNoEffect() throws {
        let session = try engine.session()
        let schedule = try engine.periodic(3)
        var inert = schedule
        for gene in 0..<schedule.shape.genesPerStep { inert[gene] = .reuse }
        #expect(inert != schedule)
        #expect(try engine.latents(session, inert) == engine.latents(session, schedule))
    }

    @Test func sessionsKeepNoStateBetweenRuns() throws {
        let session = try engine.session(images: 2)
        let schedules = try [
            engine.periodic(2), engine.periodic(3), engine.periodic(4, gateStep: 4), engine.periodic(1),
        ]
        let first = try schedules.map { try engine.latents(session, $0, seeds: [1, 2]) }
        let again = try schedules.reversed().map { try engine.latents(session, $0, seeds: [1, 2]) }
        #expect(first == again.reversed())
        #expect(Set(first).count == 4)
        let fresh = try engine.session(images: 2)
        #expect(try engine.latents(fresh, schedules[0], seeds: [1, 2]) == first[0])
    }

    @Test func failedRunsLeaveNoState() throws {
        let session = try engine.session()
        let schedule = try engine.periodic(2)
        let expected = try engine.latents(session, schedule)
        let broken = try engine.model.prompt(
            PromptEmbedding(text: Matrix([Float](repeating: .nan, count: 24), rows: 1, columns: 24)))
        let line = complaint {
            try session.denoise(prompts: [broken], negative: engine.negative, plan: ExecutionPlan(schedule))
        }
        #expect(line.isOneLine(naming: "the transformer at step 1 of"), "\(line)")
        #expect(session.latents.values.allSatisfy { $0.isNaN })
        #expect(try engine.latents(session, schedule) == expected)
    }

    @Test func imagesDoNotDependOnTheBatch() throws {
        let schedule = try engine.periodic(2)
        let together = try engine.latents(engine.session(images: 3), schedule, seeds: [7, 8, 9])
        let alone = try engine.session()
        for image in 0..<3 {
            alone.drawNoise(seeds: [7 + UInt64(image)])
            try alone.denoise(
                prompts: [engine.prompts[image]], negative: engine.negative, plan: ExecutionPlan(schedule))
            let row = together[(image * alone.latents.columns)..<((image + 1) * alone.latents.columns)]
            let error = zip(row, alone.latents.values).map { abs($0 - $1) }.max() ?? 1
            let scale = row.map { abs($0) }.max() ?? 1
            #expect(error <= 1e-5 * scale)
        }
    }

    @Test func noiseDependsOnlyOnTheSeed() throws {
        let session = try engine.session(images: 3)
        session.drawNoise(seeds: [4, 5, 4])
        let rows = (0..<3).map { session.latents.rows($0..<($0 + 1)).values }
        #expect(rows[0] == rows[2] && rows[0] != rows[1])
    }

    // MARK: - Guidance

    @Test func unguidedRunsSkipTheUnconditionalHalf() throws {
        let session = try engine.session(guidance: 1)
        func latents(negative: DiffusionModel.Prompt) throws -> [Float] {
            session.drawNoise(seeds: [7])
            try session.denoise(
                prompts: [engine.prompts[0]], negative: negative, plan: ExecutionPlan(engine.periodic(1)))
            return session.latents.values
        }
        let unguided = try latents(negative: engine.negative)
        #expect(try latents(negative: engine.prompts[2]) == unguided)
        // A negative prompt of NaN would propagate if it were used.
        let broken = try engine.model.prompt(
            PromptEmbedding(text: Matrix([Float](repeating: .nan, count: 24), rows: 1, columns: 24)))
        #expect(try latents(negative: broken) == unguided)
        let guided = try engine.latents(engine.session(guidance: 1.000_001), engine.periodic(1))
        #expect(guided != unguided)
        #expect(zip(guided, unguided).allSatisfy { abs($0 - $1) < 1e-3 })
    }

    @Test func gateRequiresGuidance() throws {
        let gated = try engine.periodic(1, gateStep: 3)
        let session = try engine.session(guidance: 1)
        #expect(throws: DiffusionError.gateWithoutGuidance) { try engine.latents(session, gated) }
    }

    @Test func stepsBeforeTheGateAreUnaffected() throws {
        let session = try engine.session()
        var steps: [[[Float]]] = [[], []]
        for (index, gate) in [nil, 3].enumerated() {
            session.drawNoise(seeds: [7])
            try session.denoise(
                prompts: [engine.prompts[0]], negative: engine.negative,
                plan: ExecutionPlan(engine.periodic(1, gateStep: gate))
            ) { _ in steps[index].append(session.latents.values) }
        }
        #expect(steps[0][..<3] == steps[1][..<3])
        #expect(steps[0][3] != steps[1][3])
    }
}
