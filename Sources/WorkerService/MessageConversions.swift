import Basics
import Diffusion
import Evaluations
import Foundation
import Messages
import Schedules
import Scoring
import Tensors

extension EvaluationSettings {
    /// Converts the settings of a run.
    ///
    /// - Throws: ``WorkerError`` for prompts that are not numbered consecutively, and for scorers that this worker lacks.
    init(_ welcome: Welcome, scorers folders: ScorerFolders) throws {
        let settings = welcome.settings
        let prompts = welcome.prompts.sorted { $0.index < $1.index }
        guard prompts.map(\.index).elementsEqual(0..<UInt32(prompts.count)) else {
            throw WorkerError.protocolError("prompt indices are not 0 to \(prompts.count - 1)")
        }
        let scorers = try settings.scorers.map { name in
            guard let kind = ScorerKind(rawValue: name) else {
                throw WorkerError.protocolError("unknown scorer \"\(name)\"")
            }
            guard kind.model != nil else { return ScorerSource(kind) }
            guard let hash = settings.scorerModels.first(where: { $0.scorer == name })?.hash else {
                throw WorkerError.protocolError("no model hash for scorer \"\(name)\"")
            }
            return ScorerSource(kind, folder: try folders.folder(fingerprint: hash, of: kind))
        }
        guard settings.engine.isEmpty || settings.engine == Engine.native.rawValue else {
            throw WorkerError.protocolError("the run's engine is \"\(settings.engine)\", this worker's is native")
        }
        guard let precision = settings.precision.isEmpty ? .float32 : Precision(rawValue: settings.precision) else {
            throw WorkerError.protocolError("unknown precision \"\(settings.precision)\"")
        }
        self.init(
            generation: GenerationSettings(
                height: Int(settings.height), width: Int(settings.width), stepCount: Int(settings.stepCount),
                guidanceScale: Float(settings.guidanceScale)),
            prompts: prompts.map(\.text), negativePrompt: settings.negativePrompt,
            scorers: scorers, precision: precision)
    }
}

extension EvaluationThread.TaskInput {
    /// Converts an assignment.
    ///
    /// - Throws: `SchedulesError` for a genome that does not match the shape.
    init(_ assignment: Assignment, shape: ScheduleShape) throws {
        if assignment.kind == .measureReuse, let item = assignment.items.first {
            self = .reuseErrors(EvaluationItem(item))
        } else {
            self = .evaluation(try EvaluationTask(assignment, shape: shape))
        }
    }
}

extension EvaluationItem {
    fileprivate init(_ item: PromptSeed) {
        self.init(prompt: Int(item.promptIndex), seed: UInt64(bitPattern: item.seed))
    }
}

extension EvaluationTask {
    /// Converts an assignment.
    ///
    /// - Throws: `SchedulesError` for a genome that does not match the shape.
    init(_ assignment: Assignment, shape: ScheduleShape) throws {
        self.init(
            candidates: try assignment.candidates.map { candidate in
                let genome = try Genome(bytes: candidate.genome, geneCount: Int(candidate.geneCount))
                var schedule = try Schedule(shape: shape, genome: genome)
                if candidate.hasGateStep, candidate.gateStep > 0 { schedule.gateStep = Int(candidate.gateStep) }
                return (id: candidate.candidateID, schedule: schedule)
            },
            items: assignment.items.map { EvaluationItem($0) },
            measuresLatency: assignment.measureLatency, returnsImages: assignment.returnImages)
        thumbnails = Set(
            assignment.thumbnails.map {
                EvaluationItem(prompt: Int($0.promptIndex), seed: UInt64(bitPattern: $0.seed))
            })
        returnsReferences = assignment.returnReferences
        imagePixels = assignment.imagePixels == 0 ? nil : Int(assignment.imagePixels)
    }
}

extension ImageMeasurement {
    /// Converts one image, compressing it to PNG if present.
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
        if let image = result.reference { referencePng = Data(try image.pngData(text: [])) }
    }
}

extension TaskResult {
    /// Converts and seals a result.
    init(task: Int64, epoch: Int64, _ output: EvaluationThread.TaskOutput, seconds: Double) throws {
        self.init()
        taskID = task
        leaseEpoch = epoch
        switch output {
        case .images(let images): self.images = try images.map(ImageMeasurement.init)
        case .reuseErrors(let errors): reuseErrors = errors.littleEndianData
        }
        taskSeconds = seconds
        seal()
    }
}

extension TaskFailure {
    init(task: Int64, epoch: Int64, reason: String) {
        self.init()
        taskID = task
        leaseEpoch = epoch
        self.reason = reason
    }
}

extension CostReport {
    init(_ costs: MeasuredCosts) {
        self.init()
        table = costs.table.json
        uncachedSeconds = costs.uncachedSeconds
        fitError = costs.fitError
    }
}
