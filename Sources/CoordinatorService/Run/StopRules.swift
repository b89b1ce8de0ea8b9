/// What ends a run before its last generation; every rule that is set counts.
public struct StopRules: Sendable, Equatable {
    /// Schedules to ask for at most.
    public var evaluations: Int?
    /// Seconds of work, without the time that no coordinator was running.
    public var seconds: Double?
    /// Generations in which the hypervolume must have grown by ``flatGain``.
    public var flatGenerations: Int?
    /// The least growth of the hypervolume, relative to what it was.
    public var flatGain: Double

    /// No rules: the run goes on to its last generation.
    public init(
        evaluations: Int? = nil, seconds: Double? = nil, flatGenerations: Int? = nil, flatGain: Double = 0.001
    ) {
        self.evaluations = evaluations
        self.seconds = seconds
        self.flatGenerations = flatGenerations
        self.flatGain = flatGain
    }

    /// Reads the section `stop`.
    init(_ c: ConfigurationFile) throws {
        evaluations = c.has("stop.evaluations") ? try c.int("stop.evaluations", in: 1...1_000_000_000) : nil
        seconds = c.has("stop.seconds") ? try c.double("stop.seconds", in: 1...1e9) : nil
        flatGenerations = c.has("stop.flat_generations") ? try c.int("stop.flat_generations", in: 1...100_000) : nil
        flatGain = try c.double("stop.flat_gain", in: 0...1, default: 0.001)
    }

    /// The section as TOML; empty without rules.
    var resolved: String {
        let lines = [
            evaluations.map { "evaluations = \($0)" }, seconds.map { "seconds = \($0)" },
            flatGenerations.map { "flat_generations = \($0)" }, flatGenerations.map { _ in "flat_gain = \(flatGain)" },
        ].compactMap(\.self)
        return lines.isEmpty ? "" : "[stop]\n" + lines.map { $0 + "\n" }.joined()
    }

    /// Why a run should end; nil while none of the rules says so.
    ///
    /// - Parameters:
    ///   - evaluations: Schedules asked for so far.
    ///   - seconds: Seconds of work so far.
    ///   - hypervolumes: The hypervolume after each finished generation.
    /// - Returns: The rule that is met, in words.
    func reason(evaluations: Int, seconds: Double, hypervolumes: [Double]) -> String? {
        if let limit = self.evaluations, evaluations >= limit { return "\(evaluations) evaluations (stop.evaluations)" }
        if let limit = self.seconds, seconds >= limit { return "\(Int(seconds)) s of work (stop.seconds)" }
        if let count = flatGenerations, hypervolumes.count > count {
            let (before, now) = (hypervolumes[hypervolumes.count - 1 - count], hypervolumes[hypervolumes.count - 1])
            if now - before <= flatGain * abs(before) {
                return "the hypervolume has grown by no more than \(flatGain) of itself in \(count) generations"
                    + " (stop.flat_generations)"
            }
        }
        return nil
    }
}
