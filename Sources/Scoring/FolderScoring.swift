import Basics
import Foundation
import Models
import Prompts
import Tensors

/// Scores a directory of images one at a time; only scores and feature statistics stay in memory.
public final class FolderScoring {
    /// A metric to compute.
    public enum Request: Sendable, Hashable {
        /// A score for each image.
        case scorer(ScorerSource)
        /// The Frechet distance to the reference directory, with the network of a model directory.
        case frechet(folder: String)
    }

    /// Scores, distances and failures.
    public struct Report: Sendable, Codable {
        /// An image that could not be read or scored.
        public struct Failure: Sendable, Codable, Equatable {
            /// Path of the image.
            public let file: String
            /// The error, in one line.
            public let reason: String
        }

        /// A Frechet distance and the images it compares.
        public struct Distance: Sendable, Codable, Equatable {
            /// Name of the network.
            public let features: String
            /// Number of images compared.
            public let images: Int
            /// Number of reference images.
            public let referenceImages: Int
            /// 0 for equal distributions.
            public let distance: Double
        }

        /// Number of images in the directory.
        public internal(set) var images: Int
        /// What paired images with prompts; nil without prompts.
        public internal(set) var pairing: PairingRule?
        /// One for each scorer.
        public internal(set) var scores: [ScoreSummary] = []
        /// One for each network.
        public internal(set) var distances: [Distance] = []
        /// In the order of occurrence.
        public internal(set) var failures: [Failure] = []
    }

    /// The score of one image.
    public struct Score: Sendable {
        /// File name of the image.
        public let image: String
        /// Empty without prompts.
        public let prompt: String
        /// Name of the scorer.
        public let scorer: String
        /// Finite.
        public let value: Double
    }

    private struct Network {
        let extractor: FeatureExtractor
        let folder: String
        let images, references: FeatureStatistics
    }

    private let images: ImageFolder
    private let references: ImageFolder?
    /// The reference of each image, by file name; empty if no scorer needs references.
    private let counterparts: [String?]
    private let pairing: PromptPairing?
    private var prompts: [String]? { pairing?.texts }
    private let scorers: [(scorer: any Scorer, source: ScorerSource, isPaired: Bool)]
    private let networks: [Network]

    /// What a user should know before the images are scored: how they are paired, and what is not scored.
    public var notes: [String] {
        var notes: [String] = []
        if let pairing {
            let unpaired = pairing.unpairedCount
            notes.append(
                "\(images.path): images and prompts are paired by \(pairing.rule.summary)"
                    + (unpaired > 0 ? "; \(unpaired) prompt\(unpaired == 1 ? " has" : "s have") no image" : ""))
        }
        for folder in [images, references].compactMap({ $0 }) where folder.subdirectoryCount > 0 {
            let count = folder.subdirectoryCount
            notes.append("\(folder.path): \(count) subdirector\(count == 1 ? "y is" : "ies are") not read")
        }
        let unused = (references?.names.count ?? 0) - counterparts.count { $0 != nil }
        if !counterparts.isEmpty, unused > 0 {
            notes.append(
                "\(references?.path ?? ""): \(unused) reference image\(unused == 1 ? " has" : "s have") no image")
        }
        return notes
    }

    /// Number of images to process, including reference images if a distance is computed.
    public var stepCount: Int { images.names.count + (networks.isEmpty ? 0 : references?.names.count ?? 0) }

    /// Opens directories and scorers, and pairs images with prompts.
    ///
    /// - Parameters:
    ///   - images: Directory of images.
    ///   - reference: Directory of reference images, with equal names for PSNR and SSIM and any names for distances.
    ///   - prompts: May be nil if no scorer needs prompts.
    ///   - rule: What pairs images with prompts; nil to decide by the names.
    ///   - requests: The metrics to compute.
    /// - Throws: ``ScoringError`` if an input is missing or cannot be paired, `ModelsError`, `TensorsError`.
    public init(
        images: String, reference: String?, prompts: PromptSet?, rule: PairingRule? = nil, requests: [Request]
    ) throws {
        let folder = try ImageFolder(path: images)
        self.images = folder
        let references = try reference.map { try ImageFolder(path: $0) }
        self.references = references
        pairing = try prompts.map { try PromptPairing(folder, with: $0, rule: rule) }
        let sources = try requests.compactMap { request -> (source: ScorerSource, isPaired: Bool)? in
            guard case .scorer(let source) = request else { return nil }
            let isPaired = ScorerKind.paired.contains(source.kind)
            guard source.kind != .latentError else {
                throw ScoringError.missing(
                    scorer: source.kind.rawValue, what: "latents, which image files do not contain,")
            }
            if isPaired, reference == nil {
                throw ScoringError.missing(scorer: source.kind.rawValue, what: "a reference image")
            }
            if !isPaired, prompts == nil {
                throw ScoringError.missing(scorer: source.kind.rawValue, what: "a prompt")
            }
            return (source, isPaired)
        }
        counterparts =
            try sources.contains(where: \.isPaired) ? references.map { try folder.counterparts(in: $0) } ?? [] : []
        scorers = zip(try ScorerSource.open(sources.map(\.source)), sources).map { ($0, $1.source, $1.isPaired) }
        networks = try requests.compactMap { request in
            guard case .frechet(let folder) = request else { return nil }
            guard reference != nil else {
                throw ScoringError.distance("a Frechet distance needs a reference directory")
            }
            let extractor = try FeatureExtractor(folder: folder)
            return Network(
                extractor: extractor, folder: folder, images: FeatureStatistics(width: extractor.width),
                references: FeatureStatistics(width: extractor.width))
        }
    }

    /// Scores all images; those that cannot be read or scored are reported and skipped.
    ///
    /// - Parameters:
    ///   - progress: Called after each image with the number of images processed, up to ``stepCount``.
    ///   - failed: Called for every failure.
    ///   - scored: Called for every score.
    /// - Returns: Summaries, distances and failures.
    /// - Throws: ``ScoringError/noneScored(folder:count:scorer:)`` if a scorer has no scores, `NonFiniteError` for a
    ///   scorer with damaged weights, and errors of `scored`.
    public func run(
        progress: (Int) -> Void = { _ in }, failed: (Report.Failure) -> Void = { _ in },
        scored: (Score) throws -> Void = { _ in }
    ) throws -> Report {
        var report = Report(images: images.names.count, pairing: pairing?.rule)
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
                if !counterparts.isEmpty {
                    scoredImage.reference = read(references?.file(counterparts[position] ?? name) ?? "")
                }
                for (index, (scorer, source, isPaired)) in scorers.enumerated()
                where !isPaired || scoredImage.reference != nil {
                    do {
                        let value = try scorer.scores(of: [scoredImage])[0]
                        guard value.isFinite else {
                            try source.requireFiniteWeights()
                            fail(images.file(name), "the \(scorer.name) score is not finite")
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
                for network in networks {
                    try add(image, images.file(name), network, network.images, fail)
                }
            }
            progress(position + 1)
        }
        if !networks.isEmpty, let references {
            for (position, name) in references.names.enumerated() {
                if let image = read(references.file(name)) {
                    for network in networks {
                        try add(image, references.file(name), network, network.references, fail)
                    }
                }
                progress(images.names.count + position + 1)
            }
        }
        for ((scorer, _, _), found) in zip(scorers, values) {
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
    ) throws {
        do {
            let features = try network.extractor.features(of: image).values
            guard features.allSatisfy(\.isFinite) else {
                let error = NonFiniteError(stage: "the network \(network.extractor.name)", folder: network.folder)
                if case .weight = error { throw error }
                return fail(file, "the \(network.extractor.name) features are not finite")
            }
            statistics.add(features)
        } catch let error as NonFiniteError {
            throw error
        } catch {
            fail(file, "\(error)")
        }
    }
}

// MARK: - Summary

/// Statistics of the scores of many images.
public struct ScoreSummary: Sendable, Codable, Equatable {
    /// Name of the scorer.
    public let scorer: String
    /// Number of images scored.
    public let images: Int
    /// Mean score.
    public let mean: Double
    /// Standard error of the mean; nil for one image.
    public let standardError: Double?
    /// Fifth percentile, interpolated like `numpy.percentile`.
    public let p5: Double
    /// Lowest score.
    public let worst: Double
    /// Image with the lowest score.
    public let worstImage: String
    /// Prompt of that image; nil without prompts.
    public let worstPrompt: String?

    /// Summarises finite scores; `name` and `prompt` return image and prompt of a score by its index.
    init(scorer: String, scores: [Double], name: (Int) -> String, prompt: (Int) -> String?) {
        precondition(!scores.isEmpty, "no scores to summarise")
        let count = Double(scores.count)
        let mean = scores.reduce(0, +) / count
        let squares = scores.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let sorted = scores.sorted()
        let position = 0.05 * (count - 1)
        let (low, share) = (Int(position), position - position.rounded(.down))
        let worst = scores.indices.min { scores[$0] < scores[$1] } ?? 0
        self.scorer = scorer
        images = scores.count
        self.mean = mean
        standardError = scores.count > 1 ? (squares / (count - 1) / count).squareRoot() : nil
        p5 = sorted[low] * (1 - share) + sorted[min(low + 1, sorted.count - 1)] * share
        self.worst = scores[worst]
        worstImage = name(worst)
        worstPrompt = prompt(worst)
    }
}
