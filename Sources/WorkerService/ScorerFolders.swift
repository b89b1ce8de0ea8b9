import Basics
import Foundation
import ModelConfiguration
import Scoring

/// The scorer models of a worker by fingerprint.
struct ScorerFolders {
    /// At most the number of hashes that a registration may contain.
    private static let limit = 32

    private let folderOfFingerprint: [String: String]
    /// Why models next to the run's model cannot be used, a line each.
    let problems: [String]

    /// Searches the given folders and those next to the model.
    ///
    /// - Throws: ``WorkerError/model(_:)`` if a given folder contains no scorer model; `FileError`, `JSONError` if it cannot
    ///   be used.
    init(given: [String], nextTo model: String) throws {
        func isScorer(_ folder: String) -> Bool { ScorerSource(folder: folder) != nil }
        for folder in given {
            // A file that cannot be read says more than that there is no scorer.
            if FileContents.exists("\(folder)/config.json") { _ = try Configuration(path: "\(folder)/config.json") }
            guard isScorer(folder) else {
                throw WorkerError.model("--scorer: \(ScoringError.notAScorer(folder: folder))")
            }
        }
        let parent = URL(fileURLWithPath: model).standardized.deletingLastPathComponent().path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        let neighbors = names.sorted().map { "\(parent)/\($0)" }.filter(isScorer)
        var found: [String: String] = [:]
        var problems: [String] = []
        for (index, folder) in (given + neighbors).prefix(Self.limit).enumerated() {
            do {
                let fingerprint = try ModelFingerprint.compute(folder: folder)
                if found[fingerprint] == nil { found[fingerprint] = folder }
            } catch  where index >= given.count {
                // The run may not need it.
                problems.append("scorer not offered: \(error)")
            }
        }
        folderOfFingerprint = found
        self.problems = problems
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
