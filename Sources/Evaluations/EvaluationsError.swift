/// Errors in evaluating a candidate.
public enum EvaluationsError: Error, Equatable, CustomStringConvertible {
    /// A task refers to a prompt index outside the run's prompts.
    case unknownPrompt(index: Int, count: Int)
    /// A candidate's schedule is for another model or step count.
    case scheduleShape(candidate: Int64)
    /// The output of a stage is not finite under a candidate's schedule, with finite weights.
    case notFinite(candidate: Int64, stage: String)
    /// The output of a stage is not finite without a schedule, so no candidate is at fault.
    case referenceNotFinite(stage: String)
    /// A scorer returned a non-finite score for a candidate's image.
    case scoreNotFinite(candidate: Int64, scorer: String)

    /// One line with the candidate or prompt.
    public var description: String {
        switch self {
        case .unknownPrompt(let index, let count): "prompt index \(index) is out of range; the run has \(count) prompts"
        case .scheduleShape(let candidate):
            "candidate \(candidate): the schedule's steps or blocks differ from the model's"
        case .notFinite(let candidate, let stage): "candidate \(candidate): the output of \(stage) is not finite"
        case .scoreNotFinite(let candidate, let scorer):
            "candidate \(candidate): the \(scorer) score is not finite"
        case .referenceNotFinite(let stage):
            "uncached reference: the output of \(stage) is not finite although all weights are; expected a model that does "
                + "not overflow float32"
        }
    }
}
