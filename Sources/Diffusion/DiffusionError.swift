/// Why images cannot be generated as asked.
public enum DiffusionError: Error, Equatable, CustomStringConvertible {
    /// A TGATE schedule reuses, at its gate step, an output of before the gate.
    case reuseAcrossGate(step: Int, block: Int, component: String)
    /// A TGATE schedule without classifier-free guidance.
    case gateWithoutGuidance
    /// A schedule for other steps or blocks than the model has.
    case scheduleShape(expected: String, found: String)

    /// One line that says what would be right.
    public var description: String {
        switch self {
        case .reuseAcrossGate(let step, let block, let component):
            "the TGATE schedule reuses \(component) of block \(block) at its gate step \(step); it must recompute there"
        case .gateWithoutGuidance: "a TGATE schedule needs a guidance scale above 1"
        case .scheduleShape(let expected, let found):
            "the schedule is for \(found), the model and steps are \(expected)"
        }
    }
}
