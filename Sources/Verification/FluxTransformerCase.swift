import ModelConfiguration
import Models
import Tensors

extension Verification {
    /// One forward pass of a FLUX transformer for each row; latents in the file are unpacked.
    static func compareFluxTransformer(
        _ file: ReferenceFile, model: String, tolerance: Double
    ) throws -> [TensorComparison] {
        let transformer = try FluxTransformer(folder: "\(model)/transformer")
        let settings = transformer.settings
        let latents = try file.tensor("hidden_states", shape: [nil, settings.latentChannels, nil, nil])
        let (p, h, w) = (latents.shape[0], latents.shape[2], latents.shape[3])
        let states = try file.tensor("encoder_hidden_states", shape: [p, nil, settings.textWidth])
        let tokenCount = states.shape[1]
        let pooled = try file.tensor("pooled_projections", shape: [p, settings.pooledWidth])
        let timesteps = try file.tensor("timestep", shape: [p]).floats()
        let guidance = settings.embedsGuidance ? try file.tensor("guidance", shape: [p]).floats() : nil
        let expected = try file.tensor("sample", shape: latents.shape)
        let side = FluxConfiguration.patchSize
        let textPositions = try file.tensor("txt_ids", shape: [tokenCount, 3]).floats()
        let imagePositions = try file.tensor("img_ids", shape: [(h / side) * (w / side), 3]).floats()
        let positions = textPositions + imagePositions

        let activations = try transformer.activations(
            imageCount: 1, latentHeight: h, latentWidth: w, textTokenCount: tokenCount,
            positions: Matrix(positions, rows: positions.count / 3, columns: 3))
        let input = Matrix(try latents.floats(), rows: p, columns: settings.latentChannels * h * w)
        let text = Matrix(try states.floats(), rows: p * tokenCount, columns: settings.textWidth)
        let pooledRows = Matrix(try pooled.floats(), rows: p, columns: settings.pooledWidth)
        let output = Matrix(rows: p, columns: input.columns)
        let blockCount = settings.fullBlockCount + settings.singleBlockCount
        for row in 0..<p {
            let prompt = transformer.prompt(
                text: text.rows((row * tokenCount)..<((row + 1) * tokenCount)), pooled: pooledRows.rows(row..<(row + 1))
            )
            let modulation = transformer.modulations(
                timesteps: [timesteps[row]], guidance: guidance?[row] ?? 0, prompts: [prompt])[0]
            transformer.forward(
                latents: input.rows(row..<(row + 1)), prompts: [prompt], modulation: modulation,
                actions: Array(repeating: .compute, count: 3 * blockCount), cache: ComponentCache(slots: []),
                activations: activations, into: output.rows(row..<(row + 1)))
        }
        return [
            TensorComparison(
                name: "sample", engine: output.values, reference: try expected.floats(), tolerance: tolerance)
        ]
    }
}
