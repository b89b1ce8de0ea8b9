import ModelConfiguration
import Tensors
import TestSupport
import Testing

@testable import Models

@Suite struct FluxTransformerTests {
    private let transformer: FluxTransformer
    private let prompts: [FluxTransformer.Prompt]
    private let latents: Matrix

    init() throws {
        let transformer = try FluxTransformer(folder: "\(Fixtures.folder)/flux-small/model/transformer")
        self.transformer = transformer
        var generator = TorchNormal(seed: 5)
        func random(_ rows: Int, _ columns: Int) -> Matrix {
            Matrix(generator.normal(count: rows * columns), rows: rows, columns: columns)
        }
        prompts = (0..<3).map { _ in transformer.prompt(text: random(5, 20), pooled: random(1, 12)) }
        latents = random(3, 16 * 4 * 6)
    }

    /// The prediction for some of the images at a timestep.
    private func predict(
        _ images: [Int], timestep: Float = 0.6, guidance: Float = 3.5, actions: [ComponentAction]? = nil,
        cache: ComponentCache = ComponentCache(slots: []), positions: Matrix? = nil
    ) throws -> [Float] {
        let chosen = images.map { prompts[$0] }
        let input = Matrix(rows: images.count, columns: latents.columns)
        for (row, image) in images.enumerated() {
            input.rows(row..<(row + 1)).copy(from: latents.rows(image..<(image + 1)))
        }
        let output = Matrix(rows: images.count, columns: latents.columns)
        let activations = try transformer.activations(
            imageCount: images.count, latentHeight: 4, latentWidth: 6, textTokenCount: 5, positions: positions)
        transformer.forward(
            latents: input, prompts: chosen,
            modulation: transformer.modulations(timesteps: [timestep], guidance: guidance, prompts: chosen)[0],
            actions: actions ?? Array(repeating: .compute, count: 15), cache: cache, activations: activations,
            into: output)
        return output.values
    }

    private func distance(_ a: [Float], _ b: [Float]) -> Float {
        zip(a, b).map { abs($0 - $1) }.max() ?? .infinity
    }

    @Test func imagesInABatchAreIndependent() throws {
        let together = try predict([0, 1, 2])
        for image in 0..<3 {
            let row = Array(together[(image * latents.columns)..<((image + 1) * latents.columns)])
            #expect(try distance(row, predict([image])) < 1e-5)
        }
    }

    @Test func timestepGuidanceAndPromptAffectThePrediction() throws {
        let plain = try predict([0])
        #expect(try distance(plain, predict([0], timestep: 0.5)) > 1e-2)
        #expect(try distance(plain, predict([0], guidance: 5)) > 1e-2)
        #expect(try distance(plain, predict([1])) > 1e-2)
    }

    @Test func rotaryEmbeddingDependsOnRelativePositions() throws {
        func positions(_ change: (Matrix) -> Void) -> Matrix {
            let positions = Matrix(rows: 11, columns: 3)
            for token in 0..<6 {
                positions[5 + token, 1] = Float(token / 3)
                positions[5 + token, 2] = Float(token % 3)
            }
            change(positions)
            return positions
        }
        let plain = try predict([0])
        #expect(try predict([0], positions: positions { _ in }) == plain)
        let shifted = positions { table in
            for token in 0..<11 {
                for axis in 0..<3 { table[token, axis] += Float(3 + axis) }
            }
        }
        #expect(try distance(plain, predict([0], positions: shifted)) < 1e-4)
        for axis in 0..<3 {
            let moved = positions { $0[7, axis] += 2 }
            #expect(try distance(plain, predict([0], positions: moved)) > 1e-3)
        }
    }

    /// Each component's output is written to its slot, and reusing it gives the same result as computing it.
    @Test(arguments: 0..<15)
    func cachedOutputReplacesComputation(_ component: Int) throws {
        let activations = try transformer.activations(
            imageCount: 2, latentHeight: 4, latentWidth: 6, textTokenCount: 5)
        let extents: [ComponentExtent] =
            component < 6 ? [.tokens, .imageTokens, .textTokens] : [.tokens, .expandedTokens, .tokens]
        let cache = ComponentCache(slots: [activations.cacheSlot(extents[component % 3])])
        var actions = Array(repeating: ComponentAction.compute, count: 15)
        let plain = try predict([0, 1])
        actions[component] = .computeAndKeep(slot: 0)
        #expect(try predict([0, 1], actions: actions, cache: cache) == plain)
        actions[component] = .reuse(slot: 0)
        #expect(try predict([0, 1], actions: actions, cache: cache) == plain)
        #expect(try distance(predict([0, 1], timestep: 0.3, actions: actions, cache: cache), plain) > 1e-3)
        cache.slots[0].fill(0.25)
        #expect(try distance(predict([0, 1], actions: actions, cache: cache), plain) > 1e-3)
    }

    @Test func inputsOfAReusedProjectionCanBeSkipped() throws {
        let activations = try transformer.activations(
            imageCount: 1, latentHeight: 4, latentWidth: 6, textTokenCount: 5)
        let cache = ComponentCache(slots: [activations.cacheSlot(.tokens)])
        cache.slots[0].fill(0.5)
        var actions = Array(repeating: ComponentAction.compute, count: 15)
        actions[11] = .reuse(slot: 0)
        let computed = try predict([0], actions: actions, cache: cache)
        actions[9] = .skip
        actions[10] = .skip
        #expect(try predict([0], actions: actions, cache: cache) == computed)
    }

    @Test(arguments: [(3, 4), (4, 5), (0, 4), (-2, 4)])
    func latentsMustBeDivisibleIntoPatches(_ height: Int, _ width: Int) {
        let line = complaint {
            try transformer.activations(imageCount: 1, latentHeight: height, latentWidth: width, textTokenCount: 5)
        }
        #expect(line.isOneLine(naming: "latents of \(height)x\(width)", "2x2"))
    }
}
