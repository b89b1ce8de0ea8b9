import Evaluations
import Foundation
import ModelConfiguration
import Models
import Schedules
import Synchronization
import Transport

/// The thread that computes: it opens the model and evaluates one task after another, while the worker's own thread
/// talks.
///
/// The engine is created, used and destroyed on this thread alone; what crosses over are values.
final class EvaluationThread: Sendable {
    /// What the thread is asked to do.
    enum Job: Sendable {
        /// With the file of the prompts' embeddings, which is removed once it is open; nil if the model's own text encoders
        /// embed them.
        case open(ModelFolder, EvaluationSettings, embeddings: String?)
        case measureCosts(imageCount: Int)
        case evaluate(run: String, id: Int64, epoch: Int64, @Sendable (ScheduleShape) throws -> EvaluationTask)
    }

    /// What came of a job.
    enum Outcome: Sendable {
        case opened(canary: [Float], seconds: Double)
        case openingFailed(String)
        case costsMeasured(MeasuredCosts)
        case evaluated(id: Int64, epoch: Int64, [ImageResult], seconds: Double)
        case cancelled(id: Int64, epoch: Int64)
        case evaluationFailed(id: Int64, epoch: Int64, candidate: Int64?, reason: String)
    }

    private struct State {
        var jobs: [Job] = []
        var outcomes: [Outcome] = []
        var imagesDone = 0
        var imagesTotal = 0
        var isCancelled = false
    }

    private let state = Mutex(State())
    private let jobCount = DispatchSemaphore(value: 0)
    private let wakeup: Wakeup
    private let note: CrashNote

    /// Starts the thread; `wakeup` is signalled for every outcome.
    ///
    /// - Parameters:
    ///   - wakeup: Signalled for every outcome.
    ///   - note: Where the task at hand is noted.
    init(waking wakeup: Wakeup, note: CrashNote) {
        self.wakeup = wakeup
        self.note = note
        let thread = Thread { [self] in run() }
        thread.name = "evaluation"
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// Adds a job.
    func submit(_ job: Job) {
        state.withLock { $0.jobs.append(job) }
        jobCount.signal()
    }

    /// Takes the outcomes since the last call.
    func takeOutcomes() -> [Outcome] {
        state.withLock { state in
            defer { state.outcomes = [] }
            return state.outcomes
        }
    }

    /// Images done and to do in the task at hand.
    var progress: (done: Int, total: Int) { state.withLock { ($0.imagesDone, $0.imagesTotal) } }

    /// Gives up the task at hand at the next image.
    func cancel() { state.withLock { $0.isCancelled = true } }

    private func run() {
        var evaluator: Evaluator?
        var costs = CostKeeping()
        ThreadPriority.lowerOthers()
        while true {
            jobCount.wait()
            guard let job = state.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) else { continue }
            let outcome: Outcome?
            switch job {
            case .open(let folder, let settings, let embeddings):
                evaluator = nil
                do {
                    let opened = try Evaluator(model: folder, settings: settings, source: source(embeddings))
                    let clock = ContinuousClock()
                    let start = clock.now
                    let canary = try opened.canary()
                    evaluator = opened
                    outcome = .opened(canary: canary, seconds: (clock.now - start) / .seconds(1))
                } catch {
                    outcome = .openingFailed("\(error)")
                }
            case .measureCosts(let imageCount):
                costs = CostKeeping(imageCount: imageCount)
                outcome = measureCosts(evaluator, &costs)
            case .evaluate(let run, let id, let epoch, let makeTask):
                note.begin(run: run, task: id, epoch: epoch)
                defer { note.end() }
                outcome = evaluate(id: id, epoch: epoch, makeTask, evaluator, &costs)
            }
            if let outcome { report(outcome) }
            if costs.isDue, let remeasured = measureCosts(evaluator, &costs) { report(remeasured) }
        }
    }

    private func report(_ outcome: Outcome) {
        state.withLock { $0.outcomes.append(outcome) }
        wakeup.signal()
    }

    /// The cost table at hand, and whether it still holds.
    private struct CostKeeping {
        /// A new table takes seconds to minutes: not too often.
        static let pause = Duration.seconds(600)
        var imageCount: Int?
        var drift: CostDrift?
        var measuredAt = ContinuousClock.now

        var isDue: Bool { drift?.hasDrifted == true && ContinuousClock.now - measuredAt > Self.pause }
    }

    private func measureCosts(_ evaluator: Evaluator?, _ costs: inout CostKeeping) -> Outcome? {
        guard let evaluator, let imageCount = costs.imageCount else { return nil }
        do {
            state.withLock { $0.isCancelled = false }
            let measured = try evaluator.measureCosts(imageCount: imageCount) { _, _ in
                state.withLock { !$0.isCancelled }
            }
            costs.drift = measured.map { CostDrift($0.table) }
            costs.measuredAt = ContinuousClock.now
            return measured.map { .costsMeasured($0) }
        } catch {
            return .openingFailed("\(error)")
        }
    }

    private func source(_ embeddings: String?) throws -> EmbeddingSource {
        guard let embeddings else { return .textEncoders }
        // The file stays mapped as long as it is used, whatever becomes of its name.
        defer { try? FileManager.default.removeItem(atPath: embeddings) }
        return .file(try PromptEmbeddings(path: embeddings))
    }

    private func evaluate(
        id: Int64, epoch: Int64, _ makeTask: (ScheduleShape) throws -> EvaluationTask, _ evaluator: Evaluator?,
        _ costs: inout CostKeeping
    ) -> Outcome {
        do {
            guard let evaluator else { throw WorkerError.model("a task arrived before the model was opened") }
            state.withLock {
                $0.isCancelled = false
                ($0.imagesDone, $0.imagesTotal) = (0, 0)
            }
            let clock = ContinuousClock()
            let start = clock.now
            let task = try makeTask(evaluator.shape)
            let images = try evaluator.evaluate(task) { done, total in
                state.withLock {
                    ($0.imagesDone, $0.imagesTotal) = (done, total)
                    return !$0.isCancelled
                }
            }
            guard let images else { return .cancelled(id: id, epoch: epoch) }
            costs.drift?.note(images, of: task)
            return .evaluated(id: id, epoch: epoch, images, seconds: (clock.now - start) / .seconds(1))
        } catch {
            var candidate: Int64?
            switch error {
            case EvaluationsError.notFinite(let id), EvaluationsError.scheduleShape(let id): candidate = id
            case EvaluationsError.scoreNotFinite(let id, _): candidate = id
            default: break
            }
            return .evaluationFailed(id: id, epoch: epoch, candidate: candidate, reason: "\(error)")
        }
    }
}
