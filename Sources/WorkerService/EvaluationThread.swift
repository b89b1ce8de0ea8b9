import Evaluations
import Foundation
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
        case open(ModelFolder, EvaluationSettings)
        case evaluate(run: String, id: Int64, epoch: Int64, @Sendable (ScheduleShape) throws -> EvaluationTask)
    }

    /// What came of a job.
    enum Outcome: Sendable {
        case opened(canary: [Float], seconds: Double)
        case openingFailed(String)
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
    private let placement: ThreadPlacement

    /// Starts the thread; `wakeup` is signalled for every outcome.
    ///
    /// - Parameters:
    ///   - wakeup: Signalled for every outcome.
    ///   - note: Where the task at hand is noted.
    ///   - placement: Moves this thread, and those it starts, out of the talking thread's way.
    init(waking wakeup: Wakeup, note: CrashNote, placement: ThreadPlacement) {
        self.wakeup = wakeup
        self.note = note
        self.placement = placement
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
        placement.moveOthersAside()
        while true {
            jobCount.wait()
            guard let job = state.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) else { continue }
            let outcome: Outcome
            switch job {
            case .open(let folder, let settings):
                evaluator = nil
                do {
                    let opened = try Evaluator(model: folder, settings: settings)
                    let clock = ContinuousClock()
                    let start = clock.now
                    let canary = try opened.canary()
                    evaluator = opened
                    outcome = .opened(canary: canary, seconds: (clock.now - start) / .seconds(1))
                } catch {
                    outcome = .openingFailed("\(error)")
                }
            case .evaluate(let run, let id, let epoch, let makeTask):
                note.begin(run: run, task: id, epoch: epoch)
                defer { note.end() }
                outcome = evaluate(id: id, epoch: epoch, makeTask, evaluator)
            }
            state.withLock { $0.outcomes.append(outcome) }
            wakeup.signal()
        }
    }

    private func evaluate(
        id: Int64, epoch: Int64, _ makeTask: (ScheduleShape) throws -> EvaluationTask, _ evaluator: Evaluator?
    ) -> Outcome {
        do {
            guard let evaluator else { throw WorkerError.model("a task arrived before the model was opened") }
            state.withLock {
                $0.isCancelled = false
                ($0.imagesDone, $0.imagesTotal) = (0, 0)
            }
            let clock = ContinuousClock()
            let start = clock.now
            let images = try evaluator.evaluate(makeTask(evaluator.shape)) { done, total in
                state.withLock {
                    ($0.imagesDone, $0.imagesTotal) = (done, total)
                    return !$0.isCancelled
                }
            }
            guard let images else { return .cancelled(id: id, epoch: epoch) }
            return .evaluated(id: id, epoch: epoch, images, seconds: (clock.now - start) / .seconds(1))
        } catch {
            var candidate: Int64?
            switch error {
            case EvaluationsError.notFinite(let id), EvaluationsError.scheduleShape(let id): candidate = id
            default: break
            }
            return .evaluationFailed(id: id, epoch: epoch, candidate: candidate, reason: "\(error)")
        }
    }
}
