/// Schedules that a model cannot run.
public enum DiffusionError: Error, Equatable, CustomStringConvertible {
    /// A TGATE schedule is used without classifier-free guidance.
    case gateWithoutGuidance
    /// A schedule's steps or blocks differ from those of the model.
    case scheduleShape(expected: String, found: String)

    /// One line with what was found and what was expected.
    public var description: String {
        switch self {
        case .gateWithoutGuidance: "a TGATE schedule requires a guidance scale above 1"
        case .scheduleShape(let expected, let found):
            "the schedule is for \(found); expected \(expected)"
        }
    }
}
