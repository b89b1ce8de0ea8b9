import Schedules

/// A genome of a search's first generation.
public struct Seed: Hashable, Codable, Sendable {
    /// The genes.
    public let genome: Genome
    /// Label of where they come from, such as "fora-3" or "random".
    public let origin: String

    /// Makes a seed.
    public init(genome: Genome, origin: String) {
        self.genome = genome
        self.origin = origin
    }
}

/// A source of seeds.
public enum Seeding: String, CaseIterable, Codable, Sendable {
    /// The uncached schedule.
    case uncached = "default"
    /// FORA of all components and of attention alone.
    case fora
    /// FORA of attention alone.
    case foraAttention = "fora-attention"
    /// TGATE with guidance kept; none for FLUX.
    case tgateNoAverage = "tgate-no-average"
    /// One part of evenly spread blocks at evenly spread steps.
    case evenly
    /// Genes reused at random.
    case random

    /// Heuristics of the source in lists that share its places, each from light caching to heavy.
    ///
    /// - Parameters:
    ///   - shape: The schedules searched.
    ///   - count: Number of places, of which intervals that differ in cost come first.
    /// - Returns: No list for ``random``.
    func heuristics(for shape: ScheduleShape, count: Int) -> [[Heuristic]] {
        let steps = shape.stepCount
        func intervals(_ places: Int) -> [Int] {
            let all = Array(2..<max(2, steps + 1))
            // The smallest interval of every number of recomputed steps.
            let distinct = all.filter { (steps + $0 - 1) / $0 < (steps + $0 - 2) / ($0 - 1) }
            let others = all.filter { !distinct.contains($0) }
            let extra = max(0, min(places - distinct.count, others.count))
            return (distinct + Heuristic.spread(from: 0, to: others.count - 1, count: extra).map { others[$0] })
                .sorted()
        }
        switch self {
        case .uncached: return [[.uncached]]
        case .fora:
            let intervals = intervals((count + 1) / 2)
            return [intervals.map { .fora(interval: $0) }, intervals.map { .foraAttention(interval: $0) }]
        case .foraAttention: return [intervals(count).map { .foraAttention(interval: $0) }]
        case .tgateNoAverage:
            guard !shape.isFlux else { return [] }
            let gates = Set(Heuristic.spread(from: max(1, steps / 2), to: steps, count: 6)).sorted(by: >)
            return [
                gates.flatMap { gate in
                    [1, 3, 5, 7].map { .tgateNoAverage(.init(gateStep: gate, interval: $0)) }
                }
            ]
        case .evenly:
            let parts: [Heuristic.Part] =
                shape.isFlux
                ? [.fluxAttention, .fluxFeedForward] : [.crossAttention, .selfAttention, .feedForward]
            let stepCounts = Set(Heuristic.spread(from: 1, to: max(1, steps - 1), count: 5)).sorted()
            let blockCounts = Set(Heuristic.spread(from: 1, to: shape.blockCount, count: 4)).sorted()
            return [
                stepCounts.flatMap { steps in
                    blockCounts.flatMap { blocks in
                        parts.map { .evenly($0, blocks: blocks, steps: steps) }
                    }
                }
            ]
        case .random: return []
        }
    }
}

/// Makes the first generation of a search.
///
/// Every source gets an equal share of the places and fills it with heuristics spread evenly from light caching to
/// heavy; what a source cannot fill goes to random schedules. Those reuse from a single gene up to 90 % of the genes
/// after the first step, in even steps, so that the population spans the range from no speed-up to the greatest.
///
/// - Parameters:
///   - names: Raw values of ``Seeding``.
///   - count: Number of seeds.
///   - shape: The schedules searched.
///   - generator: Source of the random schedules.
/// - Returns: Exactly `count` seeds with distinct canonical genomes, given in canonical form.
/// - Throws: ``EvolutionError/unknownSeeding(name:expected:)``, ``EvolutionError/noSeeds`` for a count below 1 or no
///   names, and ``EvolutionError/tooFewGenomes(wanted:found:shape:)`` when the shape has not that many.
public func seedPopulation(
    names: [String], count: Int, shape: ScheduleShape, using generator: inout RandomGenerator
) throws(EvolutionError) -> [Seed] {
    var sources: [Seeding] = []
    for name in names {
        guard let source = Seeding(rawValue: name) else {
            throw .unknownSeeding(
                name: name, expected: "one of " + Seeding.allCases.map(\.rawValue).joined(separator: ", "))
        }
        if !sources.contains(source) { sources.append(source) }
    }
    guard count > 0, !sources.isEmpty else { throw .noSeeds }
    var seeds: [Seed] = []
    var known: Set<Genome> = []
    func add(_ genome: Genome, _ origin: String) -> Bool {
        let canonical = genome.canonical(for: shape)
        guard known.insert(canonical).inserted else { return false }
        seeds.append(Seed(genome: canonical, origin: origin))
        return true
    }
    for (position, source) in sources.enumerated() {
        let places = share(of: count, for: position, among: sources.count)
        let lists = source.heuristics(for: shape, count: places)
        for (position, list) in lists.enumerated() {
            let wanted = min(share(of: places, for: position, among: lists.count), list.count)
            for place in Heuristic.spread(from: 0, to: list.count - 1, count: wanted) {
                // A rule that a small shape does not allow leaves its place to a random schedule.
                guard let schedule = try? list[place].schedule(for: shape) else { continue }
                _ = add(schedule.genome, list[place].description)
            }
        }
    }
    let randomCount = count - seeds.count
    for position in 0..<randomCount {
        let share = randomCount == 1 ? 0.5 : Double(position) / Double(randomCount - 1)
        let isAdded = (0..<100).contains { attempt in
            // A small shape may have no further genome of just this share.
            let reuseShare = attempt < 50 ? 0.9 * share : generator.unit()
            return add(randomGenome(shape, reuseShare: reuseShare, using: &generator), Seeding.random.rawValue)
        }
        guard isAdded else { throw .tooFewGenomes(wanted: count, found: seeds.count, shape: shape.description) }
    }
    return seeds
}

/// What one of several parties gets of a whole; earlier ones get the remainder.
private func share(of whole: Int, for position: Int, among parties: Int) -> Int {
    whole / parties + (position < whole % parties ? 1 : 0)
}

/// A genome that reuses a share of the genes after the first step, at least one.
private func randomGenome(
    _ shape: ScheduleShape, reuseShare: Double, using generator: inout RandomGenerator
) -> Genome {
    var genome = Genome(repeating: true, count: shape.geneCount)
    let free = shape.geneCount - shape.genesPerStep
    let reused = min(free, max(1, Int((Double(free) * reuseShare).rounded())))
    for gene in generator.permutation(of: free).prefix(reused) { genome[shape.genesPerStep + gene] = false }
    return genome
}
