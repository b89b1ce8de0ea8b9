import Basics
import Foundation
import History
import Messages

/// Why a worker's result is rejected.
enum ResultProblem: Error, Equatable, CustomStringConvertible {
    /// The rows are not one for each candidate and image of the task.
    case rows(expected: Int, found: Int)
    /// A score is missing or not finite.
    case score(candidate: Int64, scorer: String)
    /// A time is negative or not finite.
    case seconds(candidate: Int64)

    /// The candidate with the faulty value, if the problem is in one.
    var candidate: Int64? {
        switch self {
        case .rows: nil
        case .score(let candidate, _), .seconds(let candidate): candidate
        }
    }

    var description: String {
        switch self {
        case .rows(let expected, let found):
            "the result holds \(found) of the task's \(expected) images; expected each exactly once"
        case .score(let candidate, let scorer): "candidate \(candidate) has no finite \(scorer) score"
        case .seconds(let candidate): "candidate \(candidate) has a time that is negative or not finite"
        }
    }
}

extension History.TaskResult {
    /// Validates a worker's result: exactly the task's images, every number finite.
    ///
    /// - Throws: ``ResultProblem``.
    init(
        _ result: Messages.TaskResult, candidates: [Int64], images: [ImageKey], from workerID: Int64, scorer: String
    ) throws(ResultProblem) {
        struct Key: Hashable {
            let candidate: Int64
            let image: ImageKey
        }
        let expected = Set(candidates.flatMap { id in images.map { Key(candidate: id, image: $0) } })
        let keys = result.images.map {
            Key(candidate: $0.candidateID, image: ImageKey(prompt: Int($0.promptIndex), seed: $0.seed))
        }
        guard keys.count == expected.count, Set(keys) == expected else {
            throw .rows(expected: expected.count, found: Set(keys).intersection(expected).count)
        }
        var scores: [ImageScore] = []
        var timings: [ImageTiming] = []
        for (key, image) in zip(keys, result.images) {
            // A worker of an earlier version may have stored the result under a former name of the scorer.
            let scoresByName = Dictionary(
                image.scores.map { (ScorerKind(rawValue: $0.key)?.rawValue ?? $0.key, $0.value) }
            ) { $1 }
            guard scoresByName[scorer]?.isFinite == true, scoresByName.values.allSatisfy(\.isFinite) else {
                throw .score(candidate: key.candidate, scorer: scorer)
            }
            let seconds = [image.denoiseSeconds, image.decodeSeconds, image.referenceSeconds, result.taskSeconds]
            guard seconds.allSatisfy({ $0.isFinite && $0 >= 0 && $0 < 1e9 }) else {
                throw .seconds(candidate: key.candidate)
            }
            for (name, value) in scoresByName.sorted(by: { $0.key < $1.key }) {
                scores.append(ImageScore(candidateID: key.candidate, image: key.image, scorer: name, value: value))
            }
            timings.append(
                ImageTiming(
                    candidateID: key.candidate, image: key.image, denoiseSeconds: image.denoiseSeconds,
                    referenceSeconds: image.hasReferenceSeconds ? image.referenceSeconds : nil,
                    decodeSeconds: image.decodeSeconds))
        }
        self.init(
            taskID: result.taskID, workerID: workerID, scores: scores, timings: timings, seconds: result.taskSeconds)
        for (key, image) in zip(keys, result.images) {
            if image.hasPng {
                thumbnails.append(Thumbnail(candidateID: key.candidate, image: key.image, png: Array(image.png)))
            }
            if image.hasReferencePng {
                thumbnails.append(Thumbnail(candidateID: nil, image: key.image, png: Array(image.referencePng)))
            }
        }
    }
}

extension PromptSeed {
    init(_ image: ImageKey) {
        self.init()
        promptIndex = UInt32(image.prompt)
        seed = image.seed
    }
}
