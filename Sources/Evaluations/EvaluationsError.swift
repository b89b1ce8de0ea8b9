/// Errors in evaluating a candidate.
public enum EvaluationsError: Error, Equatable, CustomStringConvertible {
    /// A task refers to a prompt index outside the run's prompts.
    case unknownPrompt(index: Int, count: Int)
    /// A candidate's schedule is for another model or step count.
    case scheduleShape(candidate: Int64)
    /// A candidate's latents are not finite.
    case notFinite(candidate: Int64)
    /// The latents of the uncached reference are not finite, so no candidate is at fault.
    case referenceNotFinite
    /// A scorer returned a non-finite score for a candidate's image.
    case scoreNotFinite(candidate: Int64, scorer: String)

    /// One line with the candidate or prompt.
    public var description: String {
        switch self {
        case .unknownPrompt(let index, let count): "prompt index \(index) is out of range; the run has \(count) prompts"
        case .scheduleShape(let candidate):
            "candidate \(candidate): the schedule's steps or blocks differ from the model's"
        case .notFinite(let candidate): "candidate \(candidate): the latents are not finite"
        case .scoreNotFinite(let candidate, let scorer):
            "candidate \(candidate): the \(scorer) score is not finite"
        case .referenceNotFinite:
            "the latents of the uncached reference are not finite; the model's weights may be corrupt"
        }
    }
}
