import ModelConfiguration
import Models
import Tensors

// Single forward passes of one network on the inputs of the reference.
extension Verification {
    static func compareTransformer(
        _ file: ReferenceFile, model: String, _ bounds: Bounds
    ) throws -> [TensorComparison] {
        let configuration = try Configuration(path: "\(model)/transformer/config.json")
        guard try configuration.string("_class_name", default: "") != "FluxTransformer2DModel" else {
            return try compareFluxTransformer(file, model: model, bounds)
        }
        let transformer = try PixArtTransformer(folder: "\(model)/transformer", precision: bounds.precision)
        let settings = transformer.settings
        let latents = try file.tensor("hidden_states", shape: [nil, settings.inChannels, nil, nil])
        let (p, h, w) = (latents.shape[0], latents.shape[2], latents.shape[3])
        let captions = try file.tensor("encoder_hidden_states", shape: [p, nil, settings.captionChannels])
        let tokenCount = captions.shape[1]
        let mask = try file.tensor("encoder_attention_mask", shape: [p, tokenCount]).integers()
        let timesteps = try file.tensor("timestep", shape: [p]).integers()
        let expected = try file.tensor("sample", shape: [p, settings.outChannels, h, w])
        let sizes = try imageSizes(file, count: p, settings)

        let activations = try transformer.activations(batch: 1, latentHeight: h, latentWidth: w)
        let input = Matrix(try latents.floats(), rows: p, columns: settings.inChannels * h * w)
        let states = Matrix(try captions.floats(), rows: p * tokenCount, columns: settings.captionChannels)
        let output = Matrix(rows: p, columns: settings.outChannels * h * w)
        let actions = [ComponentAction](repeating: .compute, count: 3 * settings.blockCount)
        let cache = ComponentCache(slots: [])
        for row in 0..<p {
            let unmasked = (0..<tokenCount).filter { mask[row * tokenCount + $0] != 0 }
            // The mask is an additive bias: if all tokens are masked, softmax weighs them as if none were.
            let kept = unmasked.isEmpty ? Array(0..<tokenCount) : unmasked
            let caption = Matrix(rows: kept.count, columns: settings.captionChannels)
            for (position, token) in kept.enumerated() {
                let source = row * tokenCount + token
                caption.rows(position..<(position + 1)).copy(from: states.rows(source..<(source + 1)))
            }
            let modulation = transformer.modulations(timesteps: [Int(timesteps[row])], size: sizes[row])[0]
            transformer.forward(
                latents: input.rows(row..<(row + 1)), prompts: [transformer.prompt(caption)], modulation: modulation,
                actions: actions, cache: cache, activations: activations, into: output.rows(row..<(row + 1)))
        }
        return [
            TensorComparison(
                name: "sample", engine: output.values, reference: try expected.floats(), tolerance: bounds["sample"])
        ]
    }

    private static func imageSizes(
        _ file: ReferenceFile, count: Int, _ settings: PixArtConfiguration
    ) throws -> [PixArtTransformer.ImageSize] {
        guard settings.usesAdditionalConditions else {
            return Array(repeating: PixArtTransformer.ImageSize(height: 1, width: 1), count: count)
        }
        let resolutions = try file.tensor("resolution", shape: [count, 2]).floats()
        let ratios = try file.tensor("aspect_ratio", shape: [count, 1]).floats()
        return (0..<count).map {
            PixArtTransformer.ImageSize(
                height: resolutions[2 * $0], width: resolutions[2 * $0 + 1], aspectRatio: ratios[$0])
        }
    }

    static func compareDecoder(_ file: ReferenceFile, model: String, _ bounds: Bounds) throws -> [TensorComparison] {
        let decoder = try AutoencoderDecoder(folder: "\(model)/vae", precision: bounds.precision)
        let (c, scale) = (decoder.settings.latentChannels, decoder.settings.scale)
        let latents = try file.tensor("latents", shape: [nil, c, nil, nil])
        let (p, h, w) = (latents.shape[0], latents.shape[2], latents.shape[3])
        let expected = try file.tensor("image", shape: [p, 3, h * scale, w * scale])
        let input = Matrix(try latents.floats(), rows: p, columns: c * h * w)
        let images = (0..<p).flatMap { row in
            let planes = FeatureMap(channelCount: c, height: h, width: w)
            planes.channels.reshaped(rows: 1, columns: c * h * w).copy(from: input.rows(row..<(row + 1)))
            return decoder.decode(planes).channels.values
        }
        return [
            TensorComparison(
                name: "image", engine: images, reference: try expected.floats(), tolerance: bounds["image"])
        ]
    }
}

// MARK: - FLUX

extension Verification {
    /// One forward pass of a FLUX transformer per row; the file stores unpacked latents.
    static func compareFluxTransformer(
        _ file: ReferenceFile, model: String, _ bounds: Bounds
    ) throws -> [TensorComparison] {
        let transformer = try FluxTransformer(folder: "\(model)/transformer", precision: bounds.precision)
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
                name: "sample", engine: output.values, reference: try expected.floats(), tolerance: bounds["sample"])
        ]
    }
}
