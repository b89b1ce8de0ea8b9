import ModelConfiguration
import Schedules

/// Selection, crossover, mutation and duplicate elimination (pymoo: `Mating`).
package struct Mating {
    private let settings: SearchSettings
    private let shape: ScheduleShape

    package init(settings: SearchSettings, shape: ScheduleShape) {
        self.settings = settings
        self.shape = shape
    }

    /// A new genome that has no identifier yet.
    package struct Child {
        package var genome: Genome
        package var parents: [Int]
        package var operation: Operation

        package init(genome: Genome, parents: [Int], operation: Operation) {
            self.genome = genome
            self.parents = parents
            self.operation = operation
        }
    }

    /// Breeds distinct genomes that do not occur in the population.
    ///
    /// - Parameters:
    ///   - population: Ranked individuals, not empty.
    ///   - others: Further genomes to avoid.
    ///   - count: Maximum number of children.
    ///   - generator: Source of all randomness.
    /// - Returns: The children; in each round, the first child of every mating precedes all second ones. Fewer than
    ///   `count` if ``SearchSettings/duplicateRounds`` rounds do not produce enough new genomes.
    package func breed(
        from population: [Individual], avoiding others: [Genome] = [], count: Int,
        using generator: inout RandomGenerator
    ) -> [Child] {
        var seen = Set(population.map(\.offspring.genome) + others)
        var children: [Child] = []
        for _ in 0..<settings.duplicateRounds where children.count < count {
            let matings = (count - children.count + 1) / 2
            let parents = Tournament.parents(from: population, matings: matings, using: &generator)
            var firsts: [Child] = []
            var seconds: [Child] = []
            for (first, second) in parents {
                let pair = cross(population[first].offspring, population[second].offspring, using: &generator)
                firsts.append(pair.0)
                seconds.append(pair.1)
            }
            for var child in firsts + seconds where children.count < count {
                mutate(&child, using: &generator)
                if settings.usesCanonicalGenomes { child.genome = child.genome.canonical(for: shape) }
                if seen.insert(child.genome).inserted { children.append(child) }
            }
        }
        return children
    }

    /// Exchanges every second segment between random cut points of two genomes (pymoo: `PointCrossover`).
    package func cross(
        _ first: Offspring, _ second: Offspring, using generator: inout RandomGenerator
    ) -> (Child, Child) {
        var children = (
            Child(genome: first.genome, parents: [first.id], operation: .copy),
            Child(genome: second.genome, parents: [second.id], operation: .copy)
        )
        let geneCount = shape.geneCount
        guard generator.unit() < settings.crossoverProbability else { return children }
        var points = Self.distinctPoints(settings.crossoverPoints, below: geneCount, using: &generator).sorted()
        if points.count % 2 == 1 { points.append(geneCount) }
        for position in stride(from: 0, to: points.count, by: 2) {
            children.0.genome.exchange(points[position]..<points[position + 1], with: &children.1.genome)
        }
        let parents = first.id == second.id ? [first.id] : [first.id, second.id]
        for path in [\(Child, Child).0, \(Child, Child).1] {
            children[keyPath: path].parents = parents
            children[keyPath: path].operation = .crossover
        }
        return children
    }

    /// Draws distinct cut points from `1..<bound` (Floyd's algorithm).
    private static func distinctPoints(
        _ count: Int, below bound: Int, using generator: inout RandomGenerator
    ) -> [Int] {
        let available = bound - 1
        var points: [Int] = []
        for last in max(0, available - count)..<available {
            let point = 1 + generator.integer(below: last + 1)
            points.append(points.contains(point) ? last + 1 : point)
        }
        return points
    }

    /// Flips genes independently at a rate drawn for the child (pymoo: `BitflipMutation`), or sets a whole region.
    package func mutate(_ child: inout Child, using generator: inout RandomGenerator) {
        guard generator.unit() < settings.mutationProbability else { return }
        let isRegion = settings.regionProbability > 0 && generator.unit() < settings.regionProbability
        let hasChanged = isRegion ? setRegion(of: &child.genome, &generator) : flip(&child.genome, &generator)
        if hasChanged { child.operation = child.operation == .copy ? .mutation : .crossoverAndMutation }
    }

    private func flip(_ genome: inout Genome, _ generator: inout RandomGenerator) -> Bool {
        let flips = settings.minFlips + (settings.maxFlips - settings.minFlips) * generator.unit()
        let rate = min(0.5, flips / Double(shape.geneCount))
        let threshold = UInt64(rate * 0x1p64)
        var hasFlipped = false
        for gene in 0..<shape.geneCount where generator.next() < threshold {
            genome[gene].toggle()
            hasFlipped = true
        }
        return hasFlipped
    }

    /// Sets one component of adjacent blocks, at up to a quarter of the steps in a row, all to reuse or all to recompute.
    private func setRegion(of genome: inout Genome, _ generator: inout RandomGenerator) -> Bool {
        func range(within count: Int, atMost limit: Int) -> Range<Int> {
            let length = 1 + generator.integer(below: min(count, max(1, limit)))
            let start = generator.integer(below: count - length + 1)
            return start..<(start + length)
        }
        let blocks = range(within: shape.blockCount, atMost: shape.blockCount)
        let steps = range(within: shape.stepCount, atMost: shape.stepCount / 4)
        let slot = generator.integer(below: BlockKind.componentCount)
        let bit = generator.integer(below: 2) == 1
        var hasChanged = false
        for step in steps {
            for block in blocks {
                let gene = (step * shape.blockCount + block) * BlockKind.componentCount + slot
                hasChanged = hasChanged || genome[gene] != bit
                genome[gene] = bit
            }
        }
        return hasChanged
    }
}

// MARK: - Selection

/// Binary tournament selection on random permutations (pymoo: `TournamentSelection` with `binary_tournament`).
package enum Tournament {
    /// Selects two parents for each mating, by index; both may be the same individual.
    ///
    /// Every individual competes once before any competes again.
    ///
    /// - Precondition: The population is ranked and not empty.
    package static func parents(
        from population: [Individual], matings: Int, using generator: inout RandomGenerator
    ) -> [(Int, Int)] {
        var competitors: [Int] = []
        while competitors.count < matings * 4 {
            competitors += generator.permutation(of: population.count)
        }
        func winner(_ position: Int) -> Int {
            let (first, second) = (competitors[position], competitors[position + 1])
            return isBetter(population[first], than: population[second], using: &generator) ? first : second
        }
        return (0..<matings).map { (winner($0 * 4), winner($0 * 4 + 2)) }
    }

    /// Whether the first wins: by constraint violation, then dominance, then crowding distance, then at random.
    package static func isBetter(
        _ first: Individual, than second: Individual, using generator: inout RandomGenerator
    ) -> Bool {
        if !first.isFeasible || !second.isFeasible {
            if first.violation != second.violation { return first.violation < second.violation }
        } else {
            if Pareto.dominates(first.objectives, second.objectives) { return true }
            if Pareto.dominates(second.objectives, first.objectives) { return false }
            let (near, far) = (first.crowding ?? 0, second.crowding ?? 0)
            if near != far { return near > far }
        }
        return generator.integer(below: 2) == 0
    }
}
