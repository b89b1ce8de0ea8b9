import ModelConfiguration
import Schedules

extension RunConfiguration {
    /// Reads what the coordinator needs to know of the run's model; it never opens the weights.
    ///
    /// - Throws: ``CoordinatorError`` for an image size that the model cannot make, `FileError`, `JSONError`.
    func modelDescription() throws -> ModelDescription {
        do {
            return try ModelDescription(modelFolder: modelPath, height: height, width: width)
        } catch let error as ModelConfigurationError where ["height", "width"].contains(error.name) {
            throw CoordinatorError.invalidValue(
                file: "run configuration", key: "model.\(error.name)", expected: error.expected, found: error.found)
        }
    }
}
