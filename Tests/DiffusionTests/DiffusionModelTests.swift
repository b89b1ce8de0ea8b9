import Diffusion
import ModelConfiguration
import Models
import Schedules
import Tensors
import TestSupport
import Testing

/// Mismatched parts of a model and unsupported requests.
@Suite struct DiffusionModelTests {
    private func open(_ model: ModelCopy) throws -> DiffusionModel {
        try DiffusionModel(ModelFolder(path: model.path))
    }

    @Test(arguments: ["transformer", "vae", "scheduler"])
    func missingPartIsReported(_ part: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.remove(part)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(part), "not found"))
    }

    @Test func mismatchedAutoencoderIsRejected() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.replace("vae", withThatOf: "alpha-patch1")
        let line = complaint { try open(model) }
        #expect(line.isOneLine(naming: model.path, "3 latent channels", "reads 4"))
    }

    @Test func mismatchedTextEncoderIsRejected() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.replace("text_encoder", withThatOf: "alpha-micro")
        try model.replace("tokenizer", withThatOf: "alpha-micro")
        let text = try TextEncoding(model: ModelFolder(path: model.path))
        let line = complaint { try open(model).prompt(text.embed("a fox")) }
        #expect(line.isOneLine(naming: model.path, "28 channels", "reads 24"))
    }

    @Test(arguments: [(0, 24), (-24, 24), (24, 20), (28, 24), (24, 8 * 1024), (.max - 7, 24)])
    func unsupportedSizesAreRejected(_ height: Int, _ width: Int) throws {
        let model = try Engine().model
        let settings = GenerationSettings(height: height, width: width, stepCount: 20, guidanceScale: 4.5)
        let line = complaint { try model.session(imageCount: 1, settings: settings) }
        let (name, length) = height == 24 ? ("width", width) : ("height", height)
        #expect(line.isOneLine(naming: "\(name) \(length)", "multiple of 8 up to 4096", "alpha-small"))
    }

    @Test(arguments: [0, -1, 1001, .max])
    func unsupportedStepCountsAreRejected(_ steps: Int) throws {
        let engine = try Engine()
        #expect(
            complaint { try engine.model.scheduleShape(stepCount: steps) }.isOneLine(
                naming: "steps is \(steps)", "1000"))
        #expect(complaint { try engine.session(steps: steps) }.isOneLine(naming: "\(steps) steps"))
    }

    @Test(arguments: [0, -1])
    func sessionRequiresImages(_ count: Int) throws {
        let engine = try Engine()
        #expect(complaint { try engine.session(images: count) }.isOneLine(naming: "\(count) images", "at least one"))
    }

    @Test func sizesAreDerivedFromTheModel() throws {
        let engine = try Engine()
        #expect(engine.model.nativeSize == 48)
        let shape = try engine.model.scheduleShape(stepCount: 9)
        #expect(shape == .pixart(blocks: 2, steps: 9))
        let session = try engine.session(images: 2)
        #expect(session.latents.rows == 2 && session.latents.columns == 4 * 6 * 10)
        let image = try engine.model.decode(session.latents.rows(1..<2), settings: Engine.settings())
        #expect(image.channels.rows == 3 && image.height == 24 && image.width == 40)
    }
}
