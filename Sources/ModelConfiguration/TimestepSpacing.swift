/// How a multistep sampler spreads its steps over the timesteps of the training: `timestep_spacing` of diffusers.
public enum TimestepSpacing: String, CaseIterable, Sendable {
    case linspace, leading, trailing

    /// The timesteps of the steps, from noise to image, in NumPy's order of operations, on which the rounding of halves
    /// depends.
    ///
    /// - Parameters:
    ///   - stepCount: The number of steps; positive.
    ///   - last: The number of training timesteps in use; those above are too noisy for the sampler's settings.
    ///   - trainCount: The number of training timesteps.
    ///   - offset: `steps_offset`, which only `leading` adds.
    /// - Returns: The timesteps; nil if the spacing does not give as many distinct ones.
    public func timesteps(stepCount: Int, last: Int, trainCount: Int, offset: Int) -> [Int]? {
        guard stepCount > 0, last > 0 else { return nil }
        let timesteps: [Int]
        switch self {
        case .linspace:
            // linspace(0, last - 1, stepCount + 1), whose last value is exact.
            let step = Double(last - 1) / Double(stepCount)
            timesteps = (1...stepCount).reversed().map {
                $0 == stepCount ? last - 1 : Int((Double($0) * step).rounded(.toNearestOrEven))
            }
        case .leading:
            timesteps = (1...stepCount).reversed().map { $0 * (last / (stepCount + 1)) + offset }
        case .trailing:
            // arange(last, 0, -trainCount / stepCount), which has one value more for some counts.
            let (start, step) = (Double(last), Double(trainCount) / Double(stepCount))
            let delta = (start - step) - start
            timesteps = (0..<Int((start / step).rounded(.up))).map {
                Int((start + Double($0) * delta).rounded(.toNearestOrEven)) - 1
            }
        }
        guard timesteps.count == stepCount, timesteps.allSatisfy((0..<trainCount).contains),
            Set(timesteps).count == stepCount
        else { return nil }
        return timesteps
    }
}

extension Configuration {
    /// The spacing and the offset of a sampler's configuration, `scheduler_config.json`.
    package func timestepSpacing(trainCount: Int) throws -> (spacing: TimestepSpacing, offset: Int) {
        let name = try require(
            "timestep_spacing", oneOf: TimestepSpacing.allCases.map(\.rawValue),
            default: TimestepSpacing.linspace.rawValue)
        return (
            TimestepSpacing(rawValue: name) ?? .linspace, try count("steps_offset", default: 0, in: 0...trainCount)
        )
    }
}

extension ModelDescription {
    /// Rejects a number of steps for which the sampler of the model has no distinct timesteps.
    ///
    /// - Parameters:
    ///   - stepCount: The number of steps.
    ///   - folder: The model directory.
    /// - Throws: ``ModelConfigurationError`` with the name `steps`; `JSONError` for the sampler's configuration.
    public func checkTimesteps(stepCount: Int, modelFolder folder: String) throws {
        let sampler = try Configuration(path: "\(folder)/scheduler/scheduler_config.json")
        let trainCount = try sampler.count("num_train_timesteps", default: 1000, in: 2...100_000)
        let expected: String
        switch architecture.transformer {
        case .flux:
            guard stepCount > trainCount else { return }
            expected = "1 to \(trainCount), the timesteps of \(sampler.path)"
        case .pixart:
            let (spacing, offset) = try sampler.timestepSpacing(trainCount: trainCount)
            let timesteps = spacing.timesteps(
                stepCount: stepCount, last: trainCount, trainCount: trainCount, offset: offset)
            guard timesteps == nil else { return }
            expected =
                "a number of which \(spacing) spacing of the \(trainCount) timesteps of \(sampler.path) gives distinct ones"
        }
        throw ModelConfigurationError(name: "steps", found: "\(stepCount)", expected: expected)
    }
}
