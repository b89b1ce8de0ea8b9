import Foundation
import Models
import Prompts
import Schedules
import Tensors

/// Scores a folder of images, one after the other: nothing but numbers is kept of them.
public final class FolderScoring {
    /// What to apply.
    public enum Request: Sendable, Hashable {
        /// A scorer of single images.
        case scorer(ScorerSource)
        /// The Frechet distance to the reference folder, on the features of the network in a folder.
        case frechet(folder: String)
    }

    /// What came of it.
    public struct Report: Sendable, Codable {
        /// An image that could not be read or scored, and why.
        public struct Failure: Sendable, Codable, Equatable {
            /// The file.
            public let file: String
            /// One line.
            public let reason: String
        }

        /// A Frechet distance.
        public struct Distance: Sendable, Codable, Equatable {
            /// The features' name.
            public let features: String
            /// The images that count.
            public let images: Int
            /// The images of the reference folder that count.
            public let referenceImages: Int
            /// The distance: 0 for equal distributions.
            public let distance: Double
        }

        /// The images found.
        public internal(set) var images: Int
        /// One for each scorer.
        public internal(set) var scores: [ScoreSummary] = []
        /// One for each network.
        public internal(set) var distances: [Distance] = []
        /// In the order in which they came up.
        public internal(set) var failures: [Failure] = []
    }

    /// One image's score.
    public struct Score: Sendable {
        /// The image's name in its folder.
        public let image: String
        /// Its prompt; empty without prompts.
        public let prompt: String
        /// The scorer.
        public let scorer: String
        /// The score, finite.
        public let value: Double
    }

    private struct Network {
        let extractor: FeatureExtractor
        let images, references: FeatureStatistics
    }

    private let images: ImageFolder
    private let references: ImageFolder?
    private let prompts: [String]?
    private let scorers: [(scorer: any Scorer, isPaired: Bool)]
    private let networks: [Network]

    /// The steps of a run: images to score, and where a distance is wanted those of the reference folder.
    public var stepCount: Int { images.names.count + (networks.isEmpty ? 0 : references?.names.count ?? 0) }

    /// Opens folders and scorers, and pairs images with prompts.
    ///
    /// - Parameters:
    ///   - images: The folder of images.
    ///   - reference: A folder of images to compare with: of the same names for scorers of pairs, of any for distances.
    ///   - prompts: The prompts; nil where no scorer reads them.
    ///   - requests: What to apply.
    /// - Throws: ``ScoringError`` for what is missing or cannot be paired, `ModelsError`, `TensorsError`.
    public init(images: String, reference: String?, prompts: PromptSet?, requests: [Request]) throws {
        self.images = try ImageFolder(path: images)
        references = try reference.map { try ImageFolder(path: $0) }
        self.prompts = try prompts.map(self.images.pair)
        scorers = try requests.compactMap { request in
            guard case .scorer(let source) = request else { return nil }
            let isPaired = ScorerKind.paired.contains(source.kind)
            guard source.kind != .latentError else {
                throw ScoringError.missing(scorer: source.kind.rawValue, what: "latents, which no folder has,")
            }
            if isPaired, reference == nil {
                throw ScoringError.missing(scorer: source.kind.rawValue, what: "a reference folder with an image")
            }
            if !isPaired, prompts == nil {
                throw ScoringError.missing(scorer: source.kind.rawValue, what: "a prompt")
            }
            return (try source.open(), isPaired)
        }
        networks = try requests.compactMap { request in
            guard case .frechet(let folder) = request else { return nil }
            guard reference != nil else {
                throw ScoringError.distance("a Frechet distance needs a reference folder to compare with")
            }
            let extractor = try FeatureExtractor(folder: folder)
            return Network(
                extractor: extractor, images: FeatureStatistics(width: extractor.width),
                references: FeatureStatistics(width: extractor.width))
        }
    }

    /// Scores all images.
    ///
    /// - Parameters:
    ///   - progress: Called after each step with the number of steps done.
    ///   - failed: Called for every image that cannot be read or scored; the rest goes on.
    ///   - scored: Called for every score.
    /// - Returns: The summaries.
    /// - Throws: ``ScoringError/noneScored(folder:count:)`` if nothing could be scored, and what `scored` throws.
    public func run(
        progress: (Int) -> Void = { _ in }, failed: (Report.Failure) -> Void = { _ in },
        scored: (Score) throws -> Void = { _ in }
    ) throws -> Report {
        var report = Report(images: images.names.count)
        var values = scorers.map { _ in (positions: [Int](), scores: [Double]()) }
        func fail(_ file: String, _ reason: String) {
            let failure = Report.Failure(file: file, reason: reason)
            report.failures.append(failure)
            failed(failure)
        }
        func read(_ file: String) -> Image? {
            do {
                return try Image(path: file)
            } catch TensorsError.unreadable(_, let reason) {
                fail(file, reason)
            } catch {
                fail(file, "\(error)")
            }
            return nil
        }
        for (position, name) in images.names.enumerated() {
            if let image = read(images.file(name)) {
                var scoredImage = ScoredImage(image: image, prompt: prompts?[position] ?? "")
                if scorers.contains(where: \.isPaired) { scoredImage.reference = read(references?.file(name) ?? "") }
                for (index, (scorer, isPaired)) in scorers.enumerated() where !isPaired || scoredImage.reference != nil
                {
                    do {
                        let value = try scorer.scores(of: [scoredImage])[0]
                        guard value.isFinite else {
                            fail(images.file(name), "its \(scorer.name) score is not a finite number")
                            continue
                        }
                        values[index].positions.append(position)
                        values[index].scores.append(value)
                        try scored(Score(image: name, prompt: scoredImage.prompt, scorer: scorer.name, value: value))
                    } catch let error as ScoringError {
                        fail(images.file(name), "\(error)")
                    } catch let error as ModelsError {
                        fail(images.file(name), "\(error)")
                    }
                }
                for network in networks { add(image, images.file(name), network, network.images, fail) }
            }
            progress(position + 1)
        }
        if !networks.isEmpty, let references {
            for (position, name) in references.names.enumerated() {
                if let image = read(references.file(name)) {
                    for network in networks { add(image, references.file(name), network, network.references, fail) }
                }
                progress(images.names.count + position + 1)
            }
        }
        for ((scorer, _), found) in zip(scorers, values) {
            guard !found.scores.isEmpty else {
                throw ScoringError.noneScored(folder: images.path, count: images.names.count, scorer: scorer.name)
            }
            report.scores.append(
                ScoreSummary(
                    scorer: scorer.name, scores: found.scores, name: { images.names[found.positions[$0]] },
                    prompt: { prompts?[found.positions[$0]] }))
        }
        report.distances = try networks.map { network in
            Report.Distance(
                features: network.extractor.name, images: network.images.count,
                referenceImages: network.references.count,
                distance: try FrechetDistance.between(network.images, network.references))
        }
        return report
    }

    private func add(
        _ image: Image, _ file: String, _ network: Network, _ statistics: FeatureStatistics,
        _ fail: (String, String) -> Void
    ) {
        do {
            let features = try network.extractor.features(of: image).values
            guard features.allSatisfy(\.isFinite) else {
                return fail(file, "its \(network.extractor.name) features are not finite numbers")
            }
            statistics.add(features)
        } catch {
            fail(file, "\(error)")
        }
    }
}
