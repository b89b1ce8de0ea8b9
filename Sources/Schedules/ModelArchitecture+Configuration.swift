import JSON

extension ModelArchitecture {
    /// Reads a diffusers `transformer/config.json`.
    ///
    /// Keys without influence on the cost are ignored; absent ones have diffusers' defaults, except that
    /// `use_additional_conditions` is true exactly for a `sample_size` of 128, and `out_channels` of FLUX equals
    /// `in_channels`. Old PixArt files name the class `Transformer2DModel`.
    ///
    /// - Parameters:
    ///   - bytes: The JSON text, UTF-8.
    ///   - file: What an error message calls it.
    ///   - latentHeight: Rows of the latents, unpacked: image height / 8 for the published autoencoders.
    ///   - latentWidth: Columns of the latents.
    ///   - textLength: Text tokens that the transformer sees.
    /// - Throws: ``SchedulesError`` for another class of model, values of a wrong type or dimensions out of range.
    public init(
        transformerConfiguration bytes: some Sequence<UInt8>, file: String, latentHeight: Int, latentWidth: Int,
        textLength: Int
    ) throws {
        try self.init(
            configuration: JSONCursor(root: try JSONValue(parsing: bytes, file: file), file: file),
            latentHeight: latentHeight, latentWidth: latentWidth, textLength: textLength)
    }

    init(
        configuration root: JSONCursor, latentHeight: Int, latentWidth: Int, textLength: Int
    ) throws {
        let className = try root.required("_class_name")
        let normType = try root.optional("norm_type")?.value
        let isOldPixArt = className.value == "Transformer2DModel" && normType == "ada_norm_single"
        if className.value == "PixArtTransformer2DModel" || isOldPixArt {
            self = .pixart(
                try PixArtArchitecture(
                    configuration: root, latentHeight: latentHeight, latentWidth: latentWidth,
                    textLength: textLength))
        } else if className.value == "FluxTransformer2DModel" {
            self = .flux(
                try FluxArchitecture(
                    configuration: root, latentHeight: latentHeight, latentWidth: latentWidth,
                    textLength: textLength))
        } else {
            throw className.mismatch(
                "PixArtTransformer2DModel, FluxTransformer2DModel, or Transformer2DModel with norm_type ada_norm_single"
            )
        }
        try validate()
    }

    /// Makes the architecture of a family's published checkpoint at a square image size.
    ///
    /// PixArt has 120 text tokens for Sigma too, as the published multiply-add counts have it, and at 1024 pixels
    /// PixArt-alpha is told the image size. FLUX has 512 text tokens.
    ///
    /// - Parameters:
    ///   - family: The family of transformers.
    ///   - size: Edge of the image in pixels, a multiple of 16.
    /// - Throws: ``SchedulesError/outOfRange(name:expected:found:)`` for other sizes.
    public init(family: Family, size: Int = 256) throws {
        guard (16...8192).contains(size), size % 16 == 0 else {
            throw SchedulesError.outOfRange(
                name: "size", expected: "a multiple of 16 from 16 to 8192", found: "\(size)")
        }
        switch family {
        case .pixartAlpha, .pixartSigma:
            self = .pixart(
                PixArtArchitecture(
                    layerCount: 28, headCount: 16, headDimension: 72, inChannels: 4, outChannels: 8, patchSize: 2,
                    crossAttentionDimension: 1152, captionChannels: 4096,
                    usesAdditionalConditions: family == .pixartAlpha && size == 1024, latentHeight: size / 8,
                    latentWidth: size / 8, textLength: 120))
        case .fluxDev:
            self = .flux(
                FluxArchitecture(
                    fullLayerCount: 19, singleLayerCount: 38, headCount: 24, headDimension: 128, inChannels: 64,
                    outChannels: 64, jointAttentionDimension: 4096, pooledProjectionDimension: 768,
                    guidanceEmbeds: true, latentHeight: size / 8, latentWidth: size / 8, textLength: 512))
        }
        try validate()
    }
}

extension PixArtArchitecture {
    fileprivate init(
        configuration: JSONCursor, latentHeight: Int, latentWidth: Int, textLength: Int
    ) throws {
        func dimension(_ key: String, default value: Int) throws -> Int {
            try configuration.optional(key)?.int(in: 1...65536) ?? value
        }
        let inChannels = try dimension("in_channels", default: 4)
        // A null, unlike an absent key, means "as many as the input's".
        let outDefault = configuration.value.object?["out_channels"] == .null ? inChannels : 8
        let sampleSize = try dimension("sample_size", default: 128)
        self.init(
            layerCount: try dimension("num_layers", default: 28),
            headCount: try dimension("num_attention_heads", default: 16),
            headDimension: try dimension("attention_head_dim", default: 72),
            inChannels: inChannels,
            outChannels: try dimension("out_channels", default: outDefault),
            patchSize: try dimension("patch_size", default: 2),
            crossAttentionDimension: try dimension("cross_attention_dim", default: 1152),
            captionChannels: try configuration.optional("caption_channels")?.int(in: 1...65536),
            usesAdditionalConditions: try configuration.optional("use_additional_conditions")?.bool()
                ?? (sampleSize == 128),
            latentHeight: latentHeight, latentWidth: latentWidth, textLength: textLength)
    }
}

extension FluxArchitecture {
    fileprivate init(
        configuration: JSONCursor, latentHeight: Int, latentWidth: Int, textLength: Int
    ) throws {
        func dimension(_ key: String, default value: Int) throws -> Int {
            try configuration.optional(key)?.int(in: 0...65536) ?? value
        }
        let inChannels = try dimension("in_channels", default: 64)
        self.init(
            fullLayerCount: try dimension("num_layers", default: 19),
            singleLayerCount: try dimension("num_single_layers", default: 38),
            headCount: try dimension("num_attention_heads", default: 24),
            headDimension: try dimension("attention_head_dim", default: 128),
            inChannels: inChannels,
            outChannels: try dimension("out_channels", default: inChannels),
            jointAttentionDimension: try dimension("joint_attention_dim", default: 4096),
            pooledProjectionDimension: try dimension("pooled_projection_dim", default: 768),
            guidanceEmbeds: try configuration.optional("guidance_embeds")?.bool() ?? false,
            latentHeight: latentHeight, latentWidth: latentWidth, textLength: textLength)
    }
}
