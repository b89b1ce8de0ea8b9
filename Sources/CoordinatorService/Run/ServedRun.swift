import Foundation
import History
import Messages
import ModelConfiguration
import Schedules

/// What a coordinator has its workers do: a calibration, or a benchmark of schedules.
protocol ServedRun: AnyObject {
    var history: RunHistory { get }
    var runID: Int64 { get }
    var configuration: RunConfiguration { get }
    var model: ModelDescription { get }
    var modelHash: String { get }
    var shape: ScheduleShape { get }
    /// The prompts that tasks name by their index, and the name of their set in the history.
    var prompts: [String] { get }
    var evaluationSet: String { get }
    /// The prompts' embeddings that workers are given; nil if they embed the prompts themselves.
    var embeddings: EmbeddingsFile? { get }
    /// Seeds that every prompt is run with.
    var seedsPerPrompt: Int { get }
    /// Whether workers are compared with the run's first one, which made its canary from the same prompts.
    var keepsCanary: Bool { get }
    /// Images of a batch on which workers are to measure costs; nil where nobody asks for a table.
    var costImageCount: Int? { get }
    /// Rises when there is time to tidy up.
    var generation: Int { get }
    /// How much work a task is.
    var taskSize: TaskSize { get set }
    /// Tasks whose results are wanted.
    var tasks: [Int64: TaskRecord] { get set }

    /// Takes the tasks that have come to be wanted since the last call.
    func takeNewTasks() -> [TaskRecord]
    /// Goes on as far as that is possible without the results that are still out.
    func proceed() throws
    /// Finds more to do for a worker that would have nothing to do; returns whether there are new tasks.
    func breedMore() throws -> Bool
    /// Keeps what a worker measured of the model's parts.
    func take(_ report: CostReport, from workerID: Int64) throws
}

extension ServedRun {
    /// All images of an evaluation, in the order in which they are cut into tasks.
    var images: [ImageKey] {
        prompts.indices.flatMap { prompt in
            (0..<seedsPerPrompt).map { ImageKey(prompt: prompt, seed: Int64($0)) }
        }
    }

    /// Cuts an evaluation into tasks: some schedules on a shard of the images.
    ///
    /// The shards depend on the configuration alone, since the last bits of an image depend on the images that are
    /// denoised with it.
    ///
    /// - Parameters:
    ///   - candidates: The schedules' places among those entered together.
    ///   - images: What each of them is to make.
    /// - Returns: The tasks.
    func taskGrid(_ candidates: [Int], images: [ImageKey]) -> [NewTask] {
        let count = taskSize.schedules(
            of: candidates.count, images: images.count, imagesPerTask: configuration.imagesPerTask)
        return stride(from: 0, to: candidates.count, by: count).flatMap { first in
            let group = Array(candidates[first..<min(first + count, candidates.count)])
            return stride(from: 0, to: images.count, by: configuration.imagesPerTask).map { start in
                let shard = Array(images[start..<min(start + configuration.imagesPerTask, images.count)])
                return NewTask(kind: .evaluate, candidates: group, images: shard)
            }
        }
    }

    /// Enters a task's result in the history; ``proceed()`` takes account of it.
    ///
    /// - Returns: Whether the result was new.
    /// - Throws: ``ResultProblem`` for a result that is not what the task asked for; `HistoryError`.
    func commit(_ result: Messages.TaskResult, from workerID: Int64) throws -> CommitOutcome {
        guard let task = tasks[result.taskID] else { return .alreadyDone }
        let outcome = try history.commitResult(
            try History.TaskResult(
                result, candidates: task.candidateIDs, images: task.images, from: workerID,
                scorer: configuration.quality.rawValue))
        tasks[task.id] = nil
        return outcome
    }

    /// Gives a task up after too many failures; its candidates have no evaluation.
    ///
    /// ``proceed()`` takes account of it.
    func giveUp(_ taskID: Int64, reason: String) throws {
        try history.failTask(taskID, reason: reason)
        let candidates = (tasks[taskID]?.candidateIDs ?? []).map { "\($0)" }.joined(separator: ", ")
        try history.recordEvent("set-aside", "candidate \(candidates), task \(taskID): \(reason)", run: runID)
        tasks[taskID] = nil
    }

    /// Replaces a task of several candidates by one for each.
    ///
    /// - Returns: The new tasks.
    func split(_ taskID: Int64, reason: String) throws -> [TaskRecord] {
        let parts = try history.splitTask(taskID, reason: reason)
        tasks[taskID] = nil
        for part in parts { tasks[part.id] = part }
        return parts
    }

    /// Trusts a worker no more: what it did for candidates that are not evaluated yet is wanted again.
    ///
    /// Between barriers these are all candidates of the generation. In steady state the search has bred from those that
    /// are evaluated, and a score that changed under it would make its history a lie: they stay, and are counted.
    ///
    /// - Returns: The tasks, and how many candidates stay that the worker had a part in.
    func reopenTasks(doneBy worker: Int64, reason: String) throws -> (tasks: [TaskRecord], keptCandidates: Int) {
        let reopened = try history.quarantine(worker, reason: reason, run: runID, on: evaluationSet)
        for task in reopened.tasks { tasks[task.id] = task }
        try history.recordEvent(
            "quarantine",
            "worker \(worker): \(reason); \(reopened.tasks.count) tasks are done again, "
                + "\(reopened.keptCandidates) candidates stay as evaluated", run: runID)
        return reopened
    }
}
