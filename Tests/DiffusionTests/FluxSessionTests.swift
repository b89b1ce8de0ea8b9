import ModelConfiguration
import Models
import Schedules
import Tensors
import TestSupport
import Testing

@testable import Diffusion

@Suite struct FluxSessionTests {
    private let engine: Engine

    init() throws {
        engine = try Engine("flux-small", maxLength: 9)
    }

    @Test func sizesAreDerivedFromTheModel() throws {
        #expect(engine.model.nativeSize == 32)
        #expect(try engine.model.scheduleShape(stepCount: 9) == .flux(fullBlocks: 2, singleBlocks: 3, steps: 9))
        let session = try engine.session(images: 2)
        #expect(session.latents.rows == 2 && session.latents.columns == 16 * 12 * 20)
    }

    @Test(arguments: 0..<15)
    func reusingAnyComponentChangesTheLatents(_ component: Int) throws {
        let session = try engine.session()
        var schedule = try engine.periodic(1)
        schedule[2 * schedule.shape.genesPerStep + component] = .reuse
        // The projection of a single-stream block, which is computed, reads its attention and MLP.
        #expect(try engine.latents(session, schedule) != engine.latents(session, engine.periodic(1)))
    }

    /// Computations without a consumer are skipped, even if the schedule requests them.
    @Test func canonicalScheduleGivesTheSameImages() throws {
        let session = try engine.session()
        var schedule = try engine.periodic(1)
        for step in 1..<6 where step != 3 {
            for block in 2..<5 { schedule[step: step, block: block, component: .singleProjOut] = .reuse }
        }
        #expect(schedule.canonical.decisions != schedule.decisions)
        #expect(try engine.latents(session, schedule) == engine.latents(session, schedule.canonical))
        #expect(try engine.latents(session, schedule) != engine.latents(session, engine.periodic(1)))
    }

    @Test func sessionsKeepNoStateBetweenRuns() throws {
        let session = try engine.session(images: 2)
        let schedules = try [engine.periodic(2), engine.periodic(3), engine.periodic(1)]
        let first = try schedules.map { try engine.latents(session, $0, seeds: [1, 2]) }
        let again = try schedules.reversed().map { try engine.latents(session, $0, seeds: [1, 2]) }
        #expect(first == again.reversed())
        #expect(Set(first).count == 3)
    }

    /// A session reallocates its activations if the prompt length changes.
    @Test func promptLengthMayChangeBetweenRuns() throws {
        let text = try TextEncoding(model: ModelFolder(path: "\(Fixtures.folder)/flux-small/model"))
        func latents(_ session: any DenoisingSession, length: Int) throws -> [Float] {
            let prompt = try engine.model.prompt(text.embed("a red fox", maxLength: length))
            session.drawNoise(seeds: [3])
            try session.denoise(prompts: [prompt], negative: prompt, plan: ExecutionPlan(engine.periodic(2)))
            return session.latents.values
        }
        let session = try engine.session()
        let (long, short) = (try latents(session, length: 12), try latents(session, length: 7))
        #expect(try long != short && latents(session, length: 12) == long)
    }

    @Test func guidanceIsAnInputOfDistilledModelsOnly() throws {
        let strong = try engine.latents(engine.session(guidance: 7), engine.periodic(1))
        #expect(try engine.latents(engine.session(guidance: 1), engine.periodic(1)) != strong)
        let plain = try Engine("flux-plain", maxLength: 9)
        let unguided = try plain.latents(plain.session(guidance: 7), plain.periodic(1))
        #expect(try plain.latents(plain.session(guidance: 1), plain.periodic(1)) == unguided)
    }

    @Test func embeddingsOfOtherFamiliesAreRejected() throws {
        let text = Matrix(rows: 3, columns: 20)
        #expect(complaint { try engine.model.prompt(PromptEmbedding(text: text)) }.isOneLine(naming: "pooled"))
        let line = complaint {
            try engine.model.prompt(PromptEmbedding(text: text, pooled: Matrix(rows: 1, columns: 13)))
        }
        #expect(line.isOneLine(naming: "13 channels", "reads 12"))
    }

    @Test(arguments: [(10, 12), (12, 0), (12, 4096)])
    func unsupportedSizesAreRejected(_ height: Int, _ width: Int) throws {
        let settings = GenerationSettings(height: height, width: width, stepCount: 20, guidanceScale: 4.5)
        let line = complaint { try engine.model.session(imageCount: 1, settings: settings) }
        #expect(line.isOneLine(naming: "multiple of 4 up to 2048"))
    }
}
