/// Invalid settings, seeds, results or saved states of a search.
public enum EvolutionError: Error, Equatable {
    /// A setting is out of range.
    case setting(name: String, expected: String, found: String)
    /// The initial population would be empty.
    case noSeeds
    /// A genome has the wrong number of genes for the search's shape.
    case geneCount(origin: String, expected: Int, found: Int)
    /// A result for an offspring that is not pending.
    case unknownOffspring(id: Int)
    /// A result with a different number of objectives than earlier ones.
    case objectiveCount(id: Int, expected: Int, found: Int)
    /// An unknown seeding method.
    case unknownSeeding(name: String, expected: String)
    /// The shape has fewer distinct genomes than requested.
    case tooFewGenomes(expected: Int, found: Int, shape: String)
    /// A saved state that cannot be decoded.
    case state(problem: String)
    /// Measured reuse errors that no model can be based on.
    case reuseErrors(problem: String)
    /// Component costs that no schedule can be priced by.
    case costs(problem: String)
}

extension EvolutionError: CustomStringConvertible {
    /// One line: what is wrong and what would be right.
    public var description: String {
        switch self {
        case .setting(let name, let expected, let found): "search.\(name) is \(found); expected \(expected)"
        case .noSeeds: "the initial population is empty; expected at least one seed"
        case .geneCount(let origin, let expected, let found):
            "seed \(origin): \(found) genes; expected \(expected)"
        case .unknownOffspring(let id): "offspring \(id) is not pending; expected a result for a pending offspring"
        case .objectiveCount(let id, let expected, let found):
            "offspring \(id): \(found) objectives; expected \(expected)"
        case .unknownSeeding(let name, let expected): "search.seeding is \"\(name)\"; expected \(expected)"
        case .tooFewGenomes(let expected, let found, let shape):
            "only \(found) distinct seeds found for \(shape); expected \(expected)"
        case .state(let problem): "invalid saved search: \(problem)"
        case .reuseErrors(let problem): "invalid reuse errors: \(problem)"
        case .costs(let problem): "invalid component costs: \(problem)"
        }
    }
}
