import Foundation
import Schedules

/// What the coordinator needs to know of a model, read from its configuration files alone: it never opens the weights.
struct ModelDescription {
    /// Blocks and dimensions at the run's image size.
    let architecture: ModelArchitecture
    /// Height of the images in pixels.
    let height: Int
    /// Width of the images in pixels.
    let width: Int

    /// Reads `model_index.json`, `transformer/config.json` and `vae/config.json`.
    ///
    /// - Parameters:
    ///   - folder: A model directory in the diffusers layout.
    ///   - height: Height of the images; nil for the model's native size.
    ///   - width: Width of the images; nil for the model's native size.
    /// - Throws: ``CoordinatorError``, `SchedulesError`.
    init(folder: String, height: Int?, width: Int?) throws {
        let pipeline = try Self.object("\(folder)/model_index.json")["_class_name"] as? String ?? ""
        let transformerPath = "\(folder)/transformer/config.json"
        let vaePath = "\(folder)/vae/config.json"
        guard let channels = try Self.object(vaePath)["block_out_channels"] as? [Any], (1...8).contains(channels.count)
        else {
            throw CoordinatorError.invalidValue(
                file: vaePath, key: "block_out_channels", expected: "a list of 1 to 8 channel counts", found: "none")
        }
        let scale = 1 << (channels.count - 1)
        let transformer = try Self.object(transformerPath)
        let nativeSize = (transformer["sample_size"] as? Int ?? 128) * scale
        self.height = height ?? nativeSize
        self.width = width ?? nativeSize
        let unit = scale * max(transformer["patch_size"] as? Int ?? 2, 1)
        for (key, length) in [("model.height", self.height), ("model.width", self.width)] where length % unit != 0 {
            throw CoordinatorError.invalidValue(
                file: "run configuration", key: key, expected: "a multiple of \(unit) for this model",
                found: "\(length)")
        }
        guard let bytes = FileManager.default.contents(atPath: transformerPath) else {
            throw CoordinatorError.unreadableFile(path: transformerPath, what: "the transformer's configuration")
        }
        architecture = try ModelArchitecture(
            transformerConfiguration: bytes, file: transformerPath, latentHeight: self.height / scale,
            latentWidth: self.width / scale, textLength: pipeline == "PixArtSigmaPipeline" ? 300 : 120)
    }

    private static func object(_ path: String) throws -> [String: Any] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CoordinatorError.unreadableFile(
                path: path, what: "the model's configuration (expected a model directory in the diffusers layout)")
        }
        guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw CoordinatorError.unreadableFile(path: path, what: "the file as a JSON object")
        }
        return object
    }
}
