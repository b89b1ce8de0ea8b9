import Evaluations
import Foundation
import Glibc
import ModelConfiguration
import Models
import Schedules
import Synchronization
import Transport

/// The computing thread: opens the model and evaluates one task at a time, while the worker's main thread communicates.
///
/// The engine lives on this thread alone; only values cross over.
final class EvaluationThread: Sendable {
    enum Request: Sendable {
        /// Opens the model; the file of prompt embeddings, if any, is deleted once it is mapped.
        case open(ModelFolder, EvaluationSettings, embeddings: String?, ReferenceStore?)
        case measureCosts(imageCount: Int)
        case evaluate(run: String, id: Int64, epoch: Int64, @Sendable (ScheduleShape) throws -> TaskInput)
    }

    /// What a task computes.
    enum TaskInput: Sendable {
        case evaluation(EvaluationTask)
        case reuseErrors(EvaluationItem)
    }

    /// What a task's result contains.
    enum TaskOutput: Sendable {
        case images([ImageResult])
        /// In the order of `ReuseErrors.values`.
        case reuseErrors([Float])
    }

    enum Outcome: Sendable {
        case opened(canary: [Float], seconds: Double, warnings: [String])
        /// What went wrong without an effect on results.
        case warning(String)
        /// The model cannot be opened, or its weights are damaged: no task can succeed.
        case modelFailed(String)
        /// Also reported without a request, when drift makes a new measurement necessary.
        case costsMeasured(MeasuredCosts)
        case costMeasurementFailed(String)
        case evaluated(id: Int64, epoch: Int64, TaskOutput, seconds: Double)
        case cancelled(id: Int64, epoch: Int64)
        case evaluationFailed(id: Int64, epoch: Int64, candidate: Int64?, reason: String)
    }

    private struct State {
        var requests: [Request] = []
        var outcomes: [Outcome] = []
        var imagesDone = 0
        var imagesTotal = 0
        var isCancelled = false
    }

    /// The current cost table and its drift.
    private struct CostTracking {
        /// Minimum time between measurements, which take seconds to minutes.
        static let pause = Duration.seconds(600)
        var imageCount: Int?
        var drift: CostDrift?
        var measuredAt = ContinuousClock.now

        var isDue: Bool { drift?.hasDrifted == true && ContinuousClock.now - measuredAt > Self.pause }
    }

    private let state = Mutex(State())
    private let requestCount = DispatchSemaphore(value: 0)
    private let wakeup: Wakeup
    private let marker: CrashMarker

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - wakeup: Signalled for every outcome.
    ///   - marker: Records the current task.
    init(waking wakeup: Wakeup, marker: CrashMarker) {
        self.wakeup = wakeup
        self.marker = marker
        let thread = Thread { [self] in run() }
        thread.name = "evaluation"
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// Enqueues a request.
    func submit(_ request: Request) {
        state.withLock { $0.requests.append(request) }
        requestCount.signal()
    }

    /// Returns the outcomes since the last call.
    func takeOutcomes() -> [Outcome] {
        state.withLock { state in
            defer { state.outcomes = [] }
            return state.outcomes
        }
    }

    /// Finished and total images of the current task.
    var progress: (done: Int, total: Int) { state.withLock { ($0.imagesDone, $0.imagesTotal) } }

    /// Cancels the current task or measurement before its next image.
    func cancel() { state.withLock { $0.isCancelled = true } }

    // MARK: - Thread

    private func run() {
        var evaluator: Evaluator?
        var costs = CostTracking()
        Self.lowerPriorityOfComputingThreads()
        while true {
            requestCount.wait()
            guard let request = state.withLock({ $0.requests.isEmpty ? nil : $0.requests.removeFirst() }) else {
                continue
            }
            let outcome: Outcome?
            switch request {
            case .open(let folder, let settings, let embeddings, let store):
                evaluator = nil
                do {
                    let opened = try Evaluator(
                        model: folder, settings: settings, source: source(embeddings), store: store)
                    let clock = ContinuousClock()
                    let start = clock.now
                    let canary = try opened.canary()
                    let seconds = (clock.now - start) / .seconds(1)
                    try opened.checkImage()
                    evaluator = opened
                    outcome = .opened(canary: canary, seconds: seconds, warnings: opened.warnings)
                } catch {
                    outcome = .modelFailed("\(error)")
                }
            case .measureCosts(let imageCount):
                costs = CostTracking(imageCount: imageCount)
                outcome = measureCosts(evaluator, &costs)
            case .evaluate(let run, let id, let epoch, let makeTask):
                marker.set(run: run, task: id, epoch: epoch)
                defer { marker.clear() }
                outcome = evaluate(id: id, epoch: epoch, makeTask, evaluator, &costs)
                if let problem = evaluator?.takeStoreProblem() { report(.warning(problem)) }
            }
            if let outcome { report(outcome) }
            if costs.isDue, let remeasured = measureCosts(evaluator, &costs) { report(remeasured) }
        }
    }

    /// Lowers the priority of every thread except the main one, so that heartbeats are sent in time.
    ///
    /// Threads started later inherit it. Reserving a processor instead would fail with several workers on one machine,
    /// which would reserve the same one.
    private static func lowerPriorityOfComputingThreads() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
        for thread in names.compactMap({ Int32($0) }) where thread != getpid() {
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(thread), 5)
        }
    }

    private func report(_ outcome: Outcome) {
        state.withLock { $0.outcomes.append(outcome) }
        wakeup.signal()
    }

    private func source(_ embeddings: String?) throws -> EmbeddingSource {
        guard let embeddings else { return .textEncoders }
        // The mapping outlives the file's name.
        defer { try? FileManager.default.removeItem(atPath: embeddings) }
        return .file(try PromptEmbeddings(path: embeddings))
    }

    /// Nil if cancelled, or before the model is open.
    private func measureCosts(_ evaluator: Evaluator?, _ costs: inout CostTracking) -> Outcome? {
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
            return .costMeasurementFailed("\(error)")
        }
    }

    /// Records how far the current task is; false if it has been cancelled.
    private func reportProgress(_ done: Int, _ total: Int) -> Bool {
        state.withLock {
            ($0.imagesDone, $0.imagesTotal) = (done, total)
            return !$0.isCancelled
        }
    }

    private func evaluate(
        id: Int64, epoch: Int64, _ makeTask: (ScheduleShape) throws -> TaskInput, _ evaluator: Evaluator?,
        _ costs: inout CostTracking
    ) -> Outcome {
        do {
            guard let evaluator else { throw WorkerError.model("a task was assigned before the model was opened") }
            state.withLock {
                $0.isCancelled = false
                ($0.imagesDone, $0.imagesTotal) = (0, 0)
            }
            let clock = ContinuousClock()
            let start = clock.now
            let output: TaskOutput?
            switch try makeTask(evaluator.shape) {
            case .evaluation(let task):
                let images = try evaluator.evaluate(task, progress: reportProgress)
                if let images { costs.drift?.record(images, of: task) }
                output = images.map { .images($0) }
            case .reuseErrors(let item):
                let total = max(1, Int(evaluator.shape.reuseMeasurementImages))
                output = try evaluator.reuseErrors(of: item) { reportProgress(Int($0 * Double(total)), total) }
                    .map { .reuseErrors($0) }
            }
            guard let output else { return .cancelled(id: id, epoch: epoch) }
            return .evaluated(id: id, epoch: epoch, output, seconds: (clock.now - start) / .seconds(1))
        } catch {
            var candidate: Int64?
            switch error {
            case NonFiniteError.weight: return .modelFailed("\(error)")
            case EvaluationsError.notFinite(let id, _), EvaluationsError.scheduleShape(let id): candidate = id
            case EvaluationsError.scoreNotFinite(let id, _): candidate = id
            default: break
            }
            return .evaluationFailed(id: id, epoch: epoch, candidate: candidate, reason: "\(error)")
        }
    }
}
