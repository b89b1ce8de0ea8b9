import Foundation
import History
import Messages
import ModelConfiguration
import Schedules

// What the workers are told.
extension ServedRun {
    /// What the workers must know of the run.
    var welcome: Welcome {
        var welcome = Welcome()
        // Results that a worker kept belong to one prompt set.
        let suffix = evaluationSet == RunHistory.calibration ? "" : "-\(evaluationSet)"
        welcome.runID = "\(runID)-\(modelHash.prefix(16))\(suffix)"
        welcome.settings.modelHash = modelHash
        welcome.settings.stepCount = UInt32(configuration.stepCount)
        welcome.settings.height = UInt32(model.height)
        welcome.settings.width = UInt32(model.width)
        welcome.settings.guidanceScale = configuration.guidanceScale
        welcome.settings.negativePrompt = configuration.negativePrompt
        welcome.settings.scorers = configuration.scorers.map(\.rawValue)
        welcome.settings.scorerModels = configuration.scorers.compactMap { scorer in
            guard let hash = scorer.model.flatMap({ configuration.scorerFingerprints[$0] }) else { return nil }
            var model = ScorerModel()
            model.scorer = scorer.rawValue
            model.hash = hash
            return model
        }
        if let embeddings { welcome.embeddings = embeddings.reference }
        welcome.prompts = prompts.enumerated().map { index, text in
            var entry = PromptEntry()
            entry.index = UInt32(index)
            entry.text = text
            return entry
        }
        return welcome
    }

    /// The message that gives a task to a worker.
    func assignment(of task: TaskRecord, epoch: Int) throws -> Assignment {
        var assignment = Assignment()
        assignment.taskID = task.id
        assignment.leaseEpoch = Int64(epoch)
        assignment.kind = .evaluate
        assignment.candidates = try task.candidateIDs.map { id in
            var candidate = AssignedCandidate()
            candidate.candidateID = id
            let record = try history.candidate(id)
            candidate.genome = Data(record.genome)
            if let gateStep = record.gateStep { candidate.gateStep = UInt32(gateStep) }
            candidate.geneCount = UInt32(shape.geneCount)
            return candidate
        }
        assignment.items = task.images.map(PromptSeed.init)
        assignment.measureLatency = true
        return assignment
    }
}
