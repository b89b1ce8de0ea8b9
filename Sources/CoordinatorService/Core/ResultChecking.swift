import Foundation
import History
import Messages

/// Why a worker's result cannot be taken.
enum ResultProblem: Error, Equatable, CustomStringConvertible {
    /// The rows are not one for each candidate and image of the task.
    case rows(expected: Int, found: Int)
    /// A score is absent or not a finite number.
    case score(candidate: Int64, scorer: String)
    /// A time is negative or not a finite number.
    case seconds(candidate: Int64)

    /// The candidate at fault, if one is.
    var candidate: Int64? {
        switch self {
        case .rows: nil
        case .score(let candidate, _), .seconds(let candidate): candidate
        }
    }

    /// One line for the history and the log.
    var description: String {
        switch self {
        case .rows(let expected, let found):
            "the result holds \(found) rows of the task's images, expected one for each of \(expected)"
        case .score(let candidate, let scorer): "candidate \(candidate) has no finite \(scorer) score"
        case .seconds(let candidate): "candidate \(candidate) has times that are no times"
        }
    }
}

extension History.TaskResult {
    /// A worker's result, checked: exactly the images that the task asked for, every number finite.
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
            guard image.scores[scorer]?.isFinite == true, image.scores.values.allSatisfy(\.isFinite) else {
                throw .score(candidate: key.candidate, scorer: scorer)
            }
            let seconds = [image.denoiseSeconds, image.decodeSeconds, image.referenceSeconds, result.taskSeconds]
            guard seconds.allSatisfy({ $0.isFinite && $0 >= 0 && $0 < 1e9 }) else {
                throw .seconds(candidate: key.candidate)
            }
            for (name, value) in image.scores.sorted(by: { $0.key < $1.key }) {
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
    }
}

extension PromptSeed {
    /// An image as it travels.
    init(_ image: ImageKey) {
        self.init()
        promptIndex = UInt32(image.prompt)
        seed = image.seed
    }
}
