import Schedules

/// A member of the initial population.
public struct Seed: Hashable, Sendable {
    /// Raw or canonical genes.
    public let genome: Genome
    /// A label, such as "fora-3" or "random".
    public let origin: String

    /// Labels a genome.
    public init(genome: Genome, origin: String) {
        self.genome = genome
        self.origin = origin
    }
}

/// A method of creating seeds.
public enum Seeding: String, CaseIterable, Sendable {
    /// The uncached schedule.
    case uncached = "default"
    /// FORA of all components, and of attention only.
    case fora
    /// FORA of attention only.
    case foraAttention = "fora-attention"
    /// TGATE that keeps guidance on; creates no seeds for FLUX.
    case tgateNoAverage = "tgate-no-average"
    /// One component of evenly spaced blocks at evenly spaced steps.
    case evenly
    /// Random genes reused.
    case random
    /// Least predicted error from measured reuse errors.
    case calibrated

    /// Lists of heuristics, each from light caching to heavy, among which the method's seeds are divided evenly.
    ///
    /// With few seeds (`count`), intervals that differ in cost take precedence. ``random`` and ``calibrated`` have no lists.
    func heuristics(for shape: ScheduleShape, count: Int) -> [[Heuristic]] {
        let steps = shape.stepCount
        func intervals(_ count: Int) -> [Int] {
            let all = Array(2..<max(2, steps + 1))
            // The smallest interval for each number of recomputed steps.
            let distinct = all.filter { (steps + $0 - 1) / $0 < (steps + $0 - 2) / ($0 - 1) }
            let others = all.filter { !distinct.contains($0) }
            let extra = max(0, min(count - distinct.count, others.count))
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
        case .random, .calibrated: return []
        }
    }
}

/// Creates the initial population of a search.
///
/// Each method contributes an equal share, with heuristics spread evenly from light caching to heavy; random schedules
/// fill the rest. These reuse from one gene up to 90 % of the genes after the first step, in equal increments, so that
/// the population covers the whole range of speed-ups.
///
/// - Parameters:
///   - names: Raw values of ``Seeding``.
///   - count: Number of seeds.
///   - shape: Shape of the schedules searched.
///   - basis: Measured reuse errors for ``Seeding/calibrated``.
///   - generator: Source of the random schedules.
/// - Returns: Exactly `count` seeds with distinct genomes in canonical form.
/// - Throws: ``EvolutionError/unknownSeeding(name:expected:)``, ``EvolutionError/reuseErrors(problem:)`` for
///   ``Seeding/calibrated`` without a basis, ``EvolutionError/noSeeds`` if `count` is below 1 or there
///   are no names, and ``EvolutionError/tooFewGenomes(expected:found:shape:)`` if the shape has fewer genomes.
public func seedPopulation(
    names: [String], count: Int, shape: ScheduleShape, basis: SearchBasis? = nil,
    using generator: inout RandomGenerator
) throws(EvolutionError) -> [Seed] {
    var methods: [Seeding] = []
    for name in names {
        guard let method = Seeding(rawValue: name) else {
            throw .unknownSeeding(
                name: name, expected: "one of " + Seeding.allCases.map(\.rawValue).joined(separator: ", "))
        }
        if !methods.contains(method) { methods.append(method) }
    }
    guard count > 0, !methods.isEmpty else { throw .noSeeds }
    var seeds: [Seed] = []
    var seen: Set<Genome> = []
    func add(_ genome: Genome, _ origin: String) -> Bool {
        let canonical = genome.canonical(for: shape)
        guard seen.insert(canonical).inserted else { return false }
        seeds.append(Seed(genome: canonical, origin: origin))
        return true
    }
    for (position, method) in methods.enumerated() {
        let methodCount = share(of: count, for: position, among: methods.count)
        if method == .calibrated {
            guard let basis else { throw .reuseErrors(problem: "not measured; seeding \"calibrated\" needs them") }
            for seed in basis.seeds(methodCount) { _ = add(seed.genome, seed.origin) }
        }
        let lists = method.heuristics(for: shape, count: methodCount)
        for (position, list) in lists.enumerated() {
            let listCount = min(share(of: methodCount, for: position, among: lists.count), list.count)
            for index in Heuristic.spread(from: 0, to: list.count - 1, count: listCount) {
                // A random schedule replaces a heuristic that a small shape does not support.
                guard let schedule = try? list[index].schedule(for: shape) else { continue }
                _ = add(schedule.genome, list[index].description)
            }
        }
    }
    let randomCount = count - seeds.count
    for position in 0..<randomCount {
        let share = randomCount == 1 ? 0.5 : Double(position) / Double(randomCount - 1)
        let isAdded = (0..<100).contains { attempt in
            // A small shape may have no further genome with exactly this share.
            let reuseShare = attempt < 50 ? 0.9 * share : generator.unit()
            return add(randomGenome(shape, reuseShare: reuseShare, using: &generator), Seeding.random.rawValue)
        }
        guard isAdded else { throw .tooFewGenomes(expected: count, found: seeds.count, shape: shape.description) }
    }
    return seeds
}

/// An equal share of a total; the first shares absorb the remainder.
private func share(of total: Int, for position: Int, among count: Int) -> Int {
    total / count + (position < total % count ? 1 : 0)
}

/// A genome that reuses a share of the genes after the first step, but at least one gene.
private func randomGenome(
    _ shape: ScheduleShape, reuseShare: Double, using generator: inout RandomGenerator
) -> Genome {
    var genome = Genome(repeating: true, count: shape.geneCount)
    let free = shape.geneCount - shape.genesPerStep
    let reused = min(free, max(1, Int((Double(free) * reuseShare).rounded())))
    for gene in generator.permutation(of: free).prefix(reused) { genome[shape.genesPerStep + gene] = false }
    return genome
}
