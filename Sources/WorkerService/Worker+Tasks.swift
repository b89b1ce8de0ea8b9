import Evaluations
import Foundation
import Messages
import Schedules
import Transport

// Tasks: asking for them, and telling what came of them.
extension Worker {
    func requestTaskUnlessJoining(_ socket: inout WorkerSocket) throws {
        if stage != .joining { try requestTask(&socket) }
    }

    func requestTask(_ socket: inout WorkerSocket) throws {
        stage = .idle
        guard drain == nil else { return nextRequest = nil }
        // An unanswered request is repeated: the answer may have been lost with a coordinator.
        nextRequest = ContinuousClock.now + .seconds(5)
        var request = TaskRequest()
        if let walltime = options.walltime { request.walltimeLeftSeconds = walltime.secondsLeft }
        try send(.taskRequest(request), &socket)
    }

    func noteResult(_ key: Spool.Key, _ fate: String) {
        if options.isVerbose { log("task \(key.task), lease \(key.epoch): \(fate)") }
    }

    func report(_ outcome: EvaluationThread.Outcome, _ socket: inout WorkerSocket) throws {
        switch outcome {
        case .opened(let values, let seconds):
            var canary = Canary()
            canary.values = values
            canary.seconds = seconds
            self.canary = canary
            if stage != .joining { try send(.canary(canary), &socket) }
            guard let welcome, welcome.hasCostImageCount else { return try requestTaskUnlessJoining(&socket) }
            log("measuring what the model's parts cost")
            engine.submit(.measureCosts(imageCount: Int(min(max(welcome.costImageCount, 1), 1024))))
        case .costsMeasured(let costs):
            var report = CostReport()
            report.table = costs.table.json
            report.uncachedSeconds = costs.uncachedSeconds
            report.fitError = costs.fitError
            costReport = report
            guard stage != .joining else { return }
            try send(.costReport(report), &socket)
            if stage == .opening { try requestTask(&socket) }
        case .openingFailed(let reason):
            throw WorkerError.model(reason)
        case .evaluated(let id, let epoch, let images, let seconds):
            task = nil
            var result = TaskResult()
            result.taskID = id
            result.leaseEpoch = epoch
            result.images = try images.map(ImageMeasurement.init)
            result.taskSeconds = seconds
            result.seal()
            let bytes = try WorkerMessage.encode(.taskResult(result))
            let key = Spool.Key(task: id, epoch: epoch)
            if let welcome { try spool.keep(bytes, key, run: welcome.runID) }
            unacknowledged[key] = bytes
            noteResult(key, "done")
            _ = try socket.send(bytes)
            try requestTaskUnlessJoining(&socket)
        case .cancelled:
            task = nil
            try requestTaskUnlessJoining(&socket)
        case .evaluationFailed(let id, let epoch, let candidate, let reason):
            task = nil
            log("task \(id) failed: \(reason)")
            var failure = TaskFailure()
            failure.taskID = id
            failure.leaseEpoch = epoch
            if let candidate { failure.candidateID = candidate }
            failure.reason = reason
            try send(.taskFailure(failure), &socket)
            try requestTaskUnlessJoining(&socket)
        }
    }

    func reportCrash(in run: String, _ socket: inout WorkerSocket) throws {
        guard let crash, crash.run == run else { return }
        var failure = TaskFailure()
        failure.taskID = crash.task
        failure.leaseEpoch = crash.epoch
        failure.reason = "the worker's process died of signal \(crash.signal) at this task"
        failure.crashed = true
        try send(.taskFailure(failure), &socket)
    }
}
