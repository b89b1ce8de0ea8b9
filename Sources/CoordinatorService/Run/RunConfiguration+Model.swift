import Schedules

extension RunConfiguration {
    /// Reads what the coordinator needs to know of the run's model; it never opens the weights.
    ///
    /// - Throws: ``CoordinatorError`` for an image size that the model cannot make, `SchedulesError`.
    func modelDescription() throws -> ModelDescription {
        do {
            return try ModelDescription(modelFolder: modelPath, height: height, width: width)
        } catch {
            guard case .outOfRange(let name, let expected, let found) = error, name == "height" || name == "width"
            else { throw error }
            throw CoordinatorError.invalidValue(
                file: "run configuration", key: "model.\(name)", expected: expected, found: found)
        }
    }
}
