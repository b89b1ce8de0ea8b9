/// Why a candidate could not be evaluated.
public enum EvaluationsError: Error, Equatable, CustomStringConvertible {
    /// A task names a prompt that the run does not have.
    case unknownPrompt(index: Int, count: Int)
    /// A candidate's schedule was made for another model or step count.
    case scheduleShape(candidate: Int64)
    /// A candidate's latents are not numbers.
    case notFinite(candidate: Int64)
    /// The latents of the uncached reference are not numbers: no candidate is to blame.
    case referenceNotFinite
    /// A scorer has no finite number for an image of a candidate.
    case scoreNotFinite(candidate: Int64, scorer: String)

    /// One line that names the candidate or prompt.
    public var description: String {
        switch self {
        case .unknownPrompt(let index, let count): "prompt \(index): the run has \(count) prompts"
        case .scheduleShape(let candidate):
            "candidate \(candidate): its schedule has other steps or blocks than the model"
        case .notFinite(let candidate): "candidate \(candidate): its latents are not finite numbers"
        case .scoreNotFinite(let candidate, let scorer):
            "candidate \(candidate): its \(scorer) score is not a finite number"
        case .referenceNotFinite:
            "the latents of the uncached reference are not finite numbers; the model's weights may be damaged"
        }
    }
}
