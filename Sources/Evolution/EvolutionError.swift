/// What can be wrong with a search's settings, its seeds or the results told to it.
public enum EvolutionError: Error, Equatable {
    /// A setting is out of range.
    case setting(name: String, expected: String, found: String)
    /// A search was started without seeds.
    case noSeeds
    /// A seed has another number of genes than the search's shape.
    case geneCount(origin: String, expected: Int, found: Int)
    /// A result belongs to no offspring that waits for one.
    case unknownOffspring(id: Int)
    /// A result has another number of objectives than those before.
    case objectiveCount(id: Int, expected: Int, found: Int)
    /// A way of seeding does not exist under a name.
    case unknownSeeding(name: String, expected: String)
    /// There are fewer distinct genomes than wanted.
    case tooFewGenomes(wanted: Int, found: Int, shape: String)
    /// Bytes are no state of a search.
    case state(problem: String)
}

extension EvolutionError: CustomStringConvertible {
    /// One line: what was expected and what was found.
    public var description: String {
        switch self {
        case .setting(let name, let expected, let found): "search.\(name): expected \(expected), found \(found)"
        case .noSeeds: "a search needs at least one seed, found none"
        case .geneCount(let origin, let expected, let found):
            "seed \(origin): expected \(expected) genes, found \(found)"
        case .unknownOffspring(let id): "no offspring \(id) waits for a result"
        case .objectiveCount(let id, let expected, let found):
            "offspring \(id): expected \(expected) objectives, found \(found)"
        case .unknownSeeding(let name, let expected): "search.seeding: expected \(expected), found '\(name)'"
        case .tooFewGenomes(let wanted, let found, let shape):
            "expected \(wanted) distinct seeds, found only \(found) for \(shape)"
        case .state(let problem): "not the state of a search: \(problem)"
        }
    }
}
