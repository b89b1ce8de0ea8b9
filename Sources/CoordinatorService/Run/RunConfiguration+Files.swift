import Basics
import Foundation
import Messages
import ModelConfiguration

/// New places of files that a run was started with, from the command line.
public struct MovedFiles: Sendable {
    /// The model directory.
    public var model: String?
    /// The file of prompt embeddings.
    public var embeddings: String?
    /// Directories of scorer models; their `model_type` says which.
    public var scorers: [String]

    /// Nothing has moved by default.
    public init(model: String? = nil, embeddings: String? = nil, scorers: [String] = []) {
        self.model = model
        self.embeddings = embeddings
        self.scorers = scorers
    }
}

// MARK: - Places

extension RunConfiguration {
    /// The configuration that a history has recorded, with the present places of its files.
    ///
    /// A file that is no longer where it was, but has moved together with the run directory, is found there.
    ///
    /// - Parameters:
    ///   - text: The recorded TOML.
    ///   - file: The history's path, for error messages.
    ///   - folder: The run directory.
    ///   - moved: Files that are elsewhere.
    /// - Throws: ``CoordinatorError``, also for a scorer that the run does not have; `FileError`, `JSONError`.
    init(recorded text: String, file: String, folder: String, moved: MovedFiles = MovedFiles()) throws {
        try self.init(text: text, file: file, folder: folder)
        try move(to: folder, moved)
    }

    /// Takes new places of files into account, and records the run directory that they were found from.
    mutating func move(to folder: String, _ moved: MovedFiles) throws {
        let folder = Self.absolute(folder)
        if let old = runDirectory, old != folder {
            modelPath = Self.found(modelPath, old, folder)
            promptsPath = Self.found(promptsPath, old, folder)
            embeddingsPath = embeddingsPath.map { Self.found($0, old, folder) }
            costTablePath = costTablePath.map { Self.found($0, old, folder) }
            warmStart = warmStart.map { Self.found($0, old, folder) }
            scorerPaths = scorerPaths.mapValues { Self.found($0, old, folder) }
        }
        runDirectory = folder
        if let path = moved.model { modelPath = Self.absolute(path) }
        if let path = moved.embeddings {
            guard embeddingsPath != nil else {
                throw CoordinatorError.runDirectory(
                    path: folder, reason: "the run has no prompts.embeddings to replace")
            }
            embeddingsPath = Self.absolute(path)
        }
        for path in moved.scorers {
            let type = try Configuration(path: "\(path)/config.json", expected: "the model of a scorer")
                .require("model_type", oneOf: ScorerKind.modelled.map(\.rawValue))
            guard let scorer = ScorerKind(rawValue: type), scorerPaths[scorer] != nil else {
                throw CoordinatorError.runDirectory(path: folder, reason: "the run has no scorers.\(type) to replace")
            }
            scorerPaths[scorer] = Self.absolute(path)
        }
    }

    /// A path, or the place that it has beside the new run directory if it only exists there.
    private static func found(_ path: String, _ old: String, _ new: String) -> String {
        guard !FileContents.exists(path) else { return path }
        let (from, target) = (old.split(separator: "/"), path.split(separator: "/"))
        let common = zip(from, target).prefix { $0 == $1 }.count
        var parts = Array(new.split(separator: "/"))
        guard from.count - common <= parts.count else { return path }
        parts = Array(parts.dropLast(from.count - common)) + target.dropFirst(common)
        let candidate = "/" + parts.joined(separator: "/")
        return FileContents.exists(candidate) ? candidate : path
    }

    static func absolute(_ path: String) -> String {
        URL(fileURLWithPath: path).standardized.path
    }
}

// MARK: - Contents

extension RunConfiguration {
    /// Describes the model from its configuration files; the weights are not opened.
    ///
    /// - Throws: ``CoordinatorError`` for an image size that the model does not support, `FileError`, `JSONError`.
    func modelDescription() throws -> ModelDescription {
        do {
            return try ModelDescription(modelFolder: modelPath, height: height, width: width)
        } catch let error as ModelConfigurationError where ["height", "width"].contains(error.name) {
            throw CoordinatorError.invalidValue(
                file: "run configuration", key: "model.\(error.name)", expected: error.expected, found: error.found)
        }
    }

    /// Rejects a number of steps that the model's sampler cannot take; every worker would refuse the run.
    func checkTimesteps(of model: ModelDescription) throws {
        do {
            try model.checkTimesteps(stepCount: stepCount, modelFolder: modelPath)
        } catch let error as ModelConfigurationError {
            throw CoordinatorError.invalidValue(
                file: "run configuration", key: "model.steps", expected: error.expected, found: error.found)
        }
    }

    /// Sets the guidance scale, if none is chosen, to the model's default.
    ///
    /// - Throws: ``CoordinatorError/invalidValue(file:key:expected:found:)`` for a guidance scale or negative prompt
    ///   without effect.
    mutating func resolveGuidance(of model: ModelDescription) throws {
        let guidance = model.architecture.transformer.guidance
        func checked<Value>(_ key: String, _ body: () throws(ModelConfigurationError) -> Value) throws -> Value {
            do {
                return try body()
            } catch {
                throw CoordinatorError.invalidValue(
                    file: "run configuration", key: key, expected: error.expected, found: error.found)
            }
        }
        let scale = try checked("model.guidance_scale") { () throws(ModelConfigurationError) in
            try guidance.scale(guidanceScale)
        }
        try checked("prompts.negative") { () throws(ModelConfigurationError) in
            try guidance.check(negativePrompt: negativePrompt, scale: scale)
        }
        guidanceScale = scale
    }

    /// Whether the model also denoises with the negative prompt, which TGATE's schedules require.
    func usesNegativePrompt(with model: ModelDescription) -> Bool {
        let guidance = model.architecture.transformer.guidance
        return guidance.usesNegativePrompt(scale: guidanceScale ?? guidance.defaultScale)
    }

    /// The fingerprint of the model files that workers need: without the text encoders if embeddings are provided.
    func modelFingerprint() throws -> String {
        try ModelFingerprint.compute(folder: modelPath, part: modelPart)
    }

    private var modelPart: ModelFingerprint.Part { embeddingsPath == nil ? .whole : .image }

    /// Checks that the model is that of the run.
    ///
    /// - Parameters:
    ///   - recorded: The fingerprint in the run's history.
    ///   - notices: Receives a line if the fingerprint is of an earlier release.
    /// - Returns: The model's fingerprint.
    /// - Throws: ``CoordinatorError`` for another model, `FileError`, `JSONError`.
    func checkModel(_ recorded: String, notices: inout [String]) throws -> String {
        guard FileContents.exists("\(modelPath)/model_index.json") else {
            throw FileContents.missing(
                "\(modelPath)/model_index.json", expected: "the run's model; if it has moved, pass --model DIR")
        }
        let current = try modelFingerprint()
        let agreement = ModelFingerprint.compare(recorded, with: current, folder: modelPath, part: modelPart)
        guard agreement != .different else {
            throw CoordinatorError.runDirectory(
                path: modelPath,
                reason: "the model has changed since the run began: its fingerprint is "
                    + "\(current.prefix(12)), the run's \(recorded.prefix(12)); if the run's model is elsewhere, pass --model DIR"
            )
        }
        notices += agreement.notice(modelPath, current)
        return current
    }

    /// Opens the embeddings file and stores its hash; nil if none is configured.
    ///
    /// - Throws: ``CoordinatorError`` if the file does not fit the prompts or the model, or differs from the stored hash.
    mutating func openEmbeddings(prompts: [String], model: ModelDescription) throws -> EmbeddingsFile? {
        guard let path = embeddingsPath else { return nil }
        guard embeddingsSHA256 == nil || FileContents.exists(path) else {
            throw FileContents.missing(
                path, expected: "the run's embeddings; if they have moved, pass --embeddings FILE")
        }
        let file = try EmbeddingsFile(path: path)
        try file.check(prompts: prompts, negativePrompt: negativePrompt, model: model, folder: modelPath)
        let hash = file.reference.sha256.hexadecimal
        guard embeddingsSHA256 ?? hash == hash else {
            throw CoordinatorError.invalidEmbeddings("\(path): has changed since the run began")
        }
        embeddingsSHA256 = hash
        return file
    }

    /// Computes and stores the fingerprints of the scorers' models.
    ///
    /// - Returns: Lines about fingerprints of earlier releases.
    /// - Throws: ``CoordinatorError`` for a model that differs from the stored fingerprint, `FileError`, `JSONError`.
    mutating func resolveScorerFingerprints() throws -> [String] {
        var notices: [String] = []
        for (scorer, path) in scorerPaths.sorted(by: { $0.value < $1.value }) {
            guard FileContents.exists("\(path)/config.json") else {
                throw FileContents.missing(
                    "\(path)/config.json",
                    expected: "the model of the scorer \(scorer.rawValue)"
                        + (scorerFingerprints[scorer] == nil ? "" : "; if it has moved, pass --scorer DIR"))
            }
            _ = try Configuration(path: "\(path)/config.json", expected: "the model of the scorer \(scorer.rawValue)")
                .require("model_type", oneOf: [scorer.rawValue])
            let current = try ModelFingerprint.compute(folder: path)
            if let recorded = scorerFingerprints[scorer] {
                let agreement = ModelFingerprint.compare(recorded, with: current, folder: path)
                guard agreement != .different else {
                    throw CoordinatorError.scorerChanged("\(path): has changed since the run began")
                }
                notices += agreement.notice(path, current)
            }
            scorerFingerprints[scorer] = current
        }
        return notices
    }
}

extension ModelFingerprint.Agreement {
    /// A line for the log about a fingerprint of an earlier release; otherwise empty.
    fileprivate func notice(_ path: String, _ current: String) -> [String] {
        switch self {
        case .same, .different: []
        case .earlier:
            ["\(path): fingerprint \(current.prefix(12)) replaces that of an earlier release, which it agrees with"]
        case .nothing:
            [
                "\(path): fingerprint \(current.prefix(12)) replaces that of an earlier release, which covers no file because "
                    + "the directory was a link; whether the files have changed since then is unknown"
            ]
        }
    }
}
