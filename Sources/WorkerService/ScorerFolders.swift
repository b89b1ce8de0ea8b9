import Foundation
import ModelConfiguration
import Schedules
import Scoring

/// The scorers' models that a worker has, by their fingerprints.
struct ScorerFolders {
    /// Scorers that need a model, and no more than a registration may name.
    private static let limit = 32

    private let folderOfFingerprint: [String: String]

    /// Looks at folders that the user names, and at those beside the model.
    ///
    /// - Throws: ``WorkerError/model(_:)`` if a named folder holds no scorer's model.
    init(named: [String], beside model: String) throws {
        var folders = try named.map { folder in
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
                throw WorkerError.model("\(folder): the scorer's model cannot be read")
            }
            if found[fingerprint] == nil { found[fingerprint] = folder }
        }
        folderOfFingerprint = found
    }

    /// All fingerprints, sorted.
    var fingerprints: [String] { folderOfFingerprint.keys.sorted() }

    /// The folder with a fingerprint.
    ///
    /// - Throws: ``WorkerError/model(_:)`` if there is none.
    func folder(fingerprint: String, of scorer: ScorerKind) throws -> String {
        guard let folder = folderOfFingerprint[fingerprint] else {
            throw WorkerError.model(
                "no folder has the run's model of the scorer \(scorer.rawValue) (fingerprint \(fingerprint.prefix(12))): "
                    + "give a copy by --scorer, or put it beside the model")
        }
        return folder
    }
}
