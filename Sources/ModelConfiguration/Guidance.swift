/// How a model is guided towards its prompt, and by which scale unless another is chosen.
public enum Guidance: Sendable, Hashable {
    /// Classifier-free guidance for scales above 1 (PixArt): each step also denoises with the negative prompt.
    case classifierFree
    /// The scale is an input of the transformer (FLUX.1-dev); there is no negative prompt.
    case distilled
    /// The transformer has no input for a scale (FLUX.1-schnell) and no negative prompt.
    case absent

    /// The scales that settings accept.
    ///
    /// Published pipelines use 1 to 20; images are noise long before 100.
    public static let scales: ClosedRange<Double> = 0...100

    /// The default of the family's pipeline in diffusers, for images, runs and benchmarks alike.
    public var defaultScale: Double {
        switch self {
        case .classifierFree: 4.5
        case .distilled: 3.5
        case .absent: 0
        }
    }

    /// Whether the negative prompt has an effect.
    public func usesNegativePrompt(scale: Double) -> Bool { self == .classifierFree && scale > 1 }

    /// The scale to use.
    ///
    /// - Parameter chosen: The user's choice; nil for ``defaultScale``.
    /// - Returns: The scale.
    /// - Throws: ``ModelConfigurationError`` with the name `guidance scale` for a choice without effect.
    public func scale(_ chosen: Double?) throws(ModelConfigurationError) -> Double {
        guard let chosen else { return defaultScale }
        guard self != .absent else {
            throw ModelConfigurationError(
                name: "guidance scale", found: "\(chosen)", expected: "none: this model has no input for it")
        }
        return chosen
    }

    /// Rejects a negative prompt that would have no effect.
    ///
    /// - Throws: ``ModelConfigurationError`` with the name `negative prompt`.
    public func check(negativePrompt: String, scale: Double) throws(ModelConfigurationError) {
        guard !negativePrompt.isEmpty, !usesNegativePrompt(scale: scale) else { return }
        throw ModelConfigurationError(
            name: "negative prompt", found: "\"\(negativePrompt)\"",
            expected: self == .classifierFree
                ? "none, or a guidance scale above 1 (it is \(scale)), without which it has no effect"
                : "none: FLUX has no classifier-free guidance, and it would have no effect")
    }
}

extension TransformerConfiguration {
    /// How the model is guided.
    public var guidance: Guidance {
        switch self {
        case .pixart: .classifierFree
        case .flux(let model): model.embedsGuidance ? .distilled : .absent
        }
    }
}

extension ModelFolder {
    /// How the model is guided; reads the transformer's configuration.
    ///
    /// - Throws: `FileError`, `JSONError`.
    public func guidance() throws -> Guidance {
        guard family == .flux else { return .classifierFree }
        return TransformerConfiguration.flux(try FluxConfiguration(configuration("transformer"))).guidance
    }
}

extension ModelFamily {
    /// Denoising steps unless another number is chosen: those of the published schedules.
    public static let defaultStepCount = 20
}
