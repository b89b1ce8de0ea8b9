import Diffusion
import Evaluations
import Foundation
import Messages
import Schedules
import Scoring
import Tensors

extension EvaluationSettings {
    /// What a coordinator's welcome says about the run.
    init(_ welcome: Welcome, scorers folders: ScorerFolders) throws {
        let settings = welcome.settings
        let prompts = welcome.prompts.sorted { $0.index < $1.index }
        guard prompts.map(\.index).elementsEqual(0..<UInt32(prompts.count)) else {
            throw WorkerError.protocolError("the prompts are not numbered 0 to \(prompts.count - 1)")
        }
        let scorers = try settings.scorers.map { name in
            guard let kind = ScorerKind(rawValue: name) else {
                throw WorkerError.protocolError("this worker has no scorer \"\(name)\"")
            }
            guard kind.model != nil else { return ScorerSource(kind) }
            guard let hash = settings.scorerModels.first(where: { $0.scorer == name })?.hash else {
                throw WorkerError.protocolError("the model of the scorer \"\(name)\" is not named")
            }
            return ScorerSource(kind, folder: try folders.folder(fingerprint: hash, of: kind))
        }
        self.init(
            generation: GenerationSettings(
                height: Int(settings.height), width: Int(settings.width), stepCount: Int(settings.stepCount),
                guidanceScale: Float(settings.guidanceScale)),
            prompts: prompts.map(\.text), negativePrompt: settings.negativePrompt,
            scorers: scorers)
    }
}

extension EvaluationTask {
    /// What an assignment asks for.
    init(_ assignment: Assignment, shape: ScheduleShape) throws {
        self.init(
            candidates: try assignment.candidates.map { candidate in
                let genome = try Genome(bytes: candidate.genome, geneCount: Int(candidate.geneCount))
                var schedule = try Schedule(shape: shape, genome: genome)
                if candidate.hasGateStep, candidate.gateStep > 0 { schedule.gateStep = Int(candidate.gateStep) }
                return (id: candidate.candidateID, schedule: schedule)
            },
            items: assignment.items.map {
                EvaluationItem(prompt: Int($0.promptIndex), seed: UInt64(bitPattern: $0.seed))
            },
            measuresLatency: assignment.measureLatency, returnsImages: assignment.returnImages)
    }
}

extension ImageMeasurement {
    /// One result as it travels.
    init(_ result: ImageResult) throws {
        self.init()
        candidateID = result.candidateID
        promptIndex = UInt32(result.item.prompt)
        seed = Int64(bitPattern: result.item.seed)
        scores = result.scores
        denoiseSeconds = result.denoiseSeconds
        if let seconds = result.referenceSeconds { referenceSeconds = seconds }
        decodeSeconds = result.decodeSeconds
        if let image = result.image { png = Data(try image.pngData(text: [])) }
    }
}
