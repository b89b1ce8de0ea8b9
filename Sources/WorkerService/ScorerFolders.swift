import Basics
import Foundation
import ModelConfiguration
import Scoring

/// The scorer models of a worker by fingerprint.
struct ScorerFolders {
    /// At most the number of hashes that a registration may contain.
    private static let limit = 32

    private let folderOfFingerprint: [String: String]

    /// Searches the given folders and those next to the model.
    ///
    /// - Throws: ``WorkerError/model(_:)`` if a given folder contains no scorer model.
    init(given: [String], nextTo model: String) throws {
        var folders = try given.map { folder in
            guard ScorerSource(folder: folder) != nil else {
                throw WorkerError.model("--scorer: \(ScoringError.notAScorer(folder: folder))")
            }
            return folder
        }
        let parent = URL(fileURLWithPath: model).standardized.deletingLastPathComponent().path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        folders += names.sorted().map { "\(parent)/\($0)" }.filter { ScorerSource(folder: $0) != nil }
        var found: [String: String] = [:]
        for folder in folders.prefix(Self.limit) {
            guard let fingerprint = try? ModelFingerprint.compute(folder: folder) else {
                throw WorkerError.model("\(folder): the scorer model cannot be read")
            }
            if found[fingerprint] == nil { found[fingerprint] = folder }
        }
        folderOfFingerprint = found
    }

    /// Sorted.
    var fingerprints: [String] { folderOfFingerprint.keys.sorted() }

    /// The folder of the model with a fingerprint.
    ///
    /// - Throws: ``WorkerError/model(_:)`` if the worker does not have it.
    func folder(fingerprint: String, of scorer: ScorerKind) throws -> String {
        guard let folder = folderOfFingerprint[fingerprint] else {
            throw WorkerError.model(
                "this worker lacks the run's model of scorer \(scorer.rawValue) with fingerprint "
                    + "\(fingerprint.prefix(12)): pass a copy with --scorer, or place it next to the model")
        }
        return folder
    }
}
