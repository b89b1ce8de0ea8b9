import Schedules

extension RunConfiguration {
    /// Reads what the coordinator needs to know of the run's model; it never opens the weights.
    ///
    /// - Throws: ``CoordinatorError`` for an image size that the model cannot make, `SchedulesError`.
    func modelDescription() throws -> ModelDescription {
        do {
            return try ModelDescription(modelFolder: modelPath, height: height, width: width)
        } catch SchedulesError.outOfRange(let name, let expected, let found) where name == "height" || name == "width" {
            throw CoordinatorError.invalidValue(
                file: "run configuration", key: "model.\(name)", expected: expected, found: found)
        }
    }
}
