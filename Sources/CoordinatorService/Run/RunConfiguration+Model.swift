import Foundation
import Messages
import Schedules

// What a configuration names: the model, the scorers' models and the prompts' embeddings, and their fingerprints.
extension RunConfiguration {
    /// The model's architecture at the configured image size; the weights are not opened.
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

    /// The fingerprint of the model files that workers need: without the text encoders if embeddings are provided.
    func modelFingerprint() throws -> String {
        do {
            return try ModelFingerprint.compute(folder: modelPath, part: embeddingsPath == nil ? .whole : .image)
        } catch {
            throw CoordinatorError.unreadableFile(path: modelPath, what: "the model's files")
        }
    }

    /// Opens the embeddings file and stores its hash; nil if none is configured.
    ///
    /// - Throws: ``CoordinatorError`` if the file does not fit the prompts or the model, or differs from the stored hash.
    mutating func openEmbeddings(prompts: [String], model: ModelDescription) throws -> EmbeddingsFile? {
        guard let path = embeddingsPath else { return nil }
        let file = try EmbeddingsFile(path: path)
        try file.check(prompts: prompts, negativePrompt: negativePrompt, model: model, folder: modelPath)
        let hash = file.reference.sha256.hexadecimal
        guard embeddingsSHA256 ?? hash == hash else {
            throw CoordinatorError.embeddings("\(path): has changed since the run began")
        }
        embeddingsSHA256 = hash
        return file
    }

    /// Computes and stores the fingerprints of the scorers' models.
    ///
    /// - Throws: ``CoordinatorError`` for a missing model, or one that differs from the stored fingerprint.
    mutating func resolveScorerFingerprints() throws {
        for (scorer, path) in scorerPaths {
            guard FileManager.default.fileExists(atPath: "\(path)/config.json"),
                let fingerprint = try? ModelFingerprint.compute(folder: path)
            else {
                throw CoordinatorError.unreadableFile(path: path, what: "the model of the scorer \(scorer.rawValue)")
            }
            guard scorerFingerprints[scorer] ?? fingerprint == fingerprint else {
                throw CoordinatorError.scorer("\(path): has changed since the run began")
            }
            scorerFingerprints[scorer] = fingerprint
        }
    }

    /// The size of tasks before anything has been measured.
    var taskSize: TaskSize { TaskSize(fixed: schedulesPerTask, seconds: secondsPerTask) }
}
