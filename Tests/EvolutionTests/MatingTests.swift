import Evolution
import Schedules
import Testing

@Suite struct MatingTests {
    static let shape = ScheduleShape.pixart()

    static func offspring(_ id: Int, _ genome: Genome) -> Offspring {
        Offspring(id: id, generation: 0, genome: genome, parents: [], operation: .seed, origin: "test")
    }

    static let ones = offspring(0, Genome(repeating: true, count: shape.geneCount))
    static let zeros = offspring(1, Genome(repeating: false, count: shape.geneCount))

    static func changes(_ genome: Genome) -> Int {
        (1..<genome.geneCount).count { genome[$0] != genome[$0 - 1] }
    }

    @Test func crossoverExchangesTwoInnerSegments() {
        let mating = Mating(settings: SearchSettings(preset: .ecadPaper), shape: Self.shape)
        var generator = RandomGenerator(seed: 1)
        var crossed = 0
        for _ in 0..<600 {
            let (first, second) = mating.cross(Self.ones, Self.zeros, using: &generator)
            #expect(first.genome.hammingDistance(to: second.genome) == Self.shape.geneCount)
            if first.operation == .crossover {
                crossed += 1
                // Four distinct points; both ends stay with the first parent.
                #expect(Self.changes(first.genome) == 4)
                #expect(first.genome[0] && first.genome[Self.shape.geneCount - 1])
                #expect(first.parents == [0, 1] && second.parents == [0, 1])
            } else {
                #expect(first.genome == Self.ones.genome && first.parents == [0])
                #expect(second.genome == Self.zeros.genome && second.parents == [1])
            }
        }
        // Binomial(600, 0.9), six standard deviations.
        #expect(abs(crossed - 540) < 44)
    }

    @Test func cutPointsAreUniform() {
        var settings = SearchSettings(preset: .ecadPaper)
        settings.crossoverProbability = 1
        let shape = ScheduleShape.pixart(blocks: 2, steps: 2)
        let mating = Mating(settings: settings, shape: shape)
        let (ones, zeros) = (
            Self.offspring(0, Genome(repeating: true, count: 12)),
            Self.offspring(1, Genome(repeating: false, count: 12))
        )
        var generator = RandomGenerator(seed: 2)
        var cuts = [Int](repeating: 0, count: 12)
        for _ in 0..<11_000 {
            let genome = mating.cross(ones, zeros, using: &generator).0.genome
            for gene in 1..<12 where genome[gene] != genome[gene - 1] { cuts[gene] += 1 }
        }
        // Binomial(11000, 4/11) for each of the 11 positions, six standard deviations.
        #expect(cuts[1...].allSatisfy { abs($0 - 4000) < 303 })
    }

    @Test func oddNumberOfCutPointsExchangesTheTail() {
        var settings = SearchSettings(preset: .ecadPaper)
        (settings.crossoverProbability, settings.crossoverPoints) = (1, 1)
        var generator = RandomGenerator(seed: 3)
        let child = Mating(settings: settings, shape: Self.shape).cross(Self.ones, Self.zeros, using: &generator).0
        #expect(Self.changes(child.genome) == 1)
        #expect(child.genome[0] && !child.genome[Self.shape.geneCount - 1])
        settings.crossoverPoints = 1000
        let tiny = ScheduleShape.pixart(blocks: 1, steps: 1)
        let all = Mating(settings: settings, shape: tiny).cross(
            Self.offspring(0, Genome(repeating: true, count: 3)), Self.offspring(1, Genome(repeating: false, count: 3)),
            using: &generator
        ).0
        #expect(all.genome.description == "101")
    }

    /// Flipped genes of each of 4,000 mutated children.
    func flips(_ settings: SearchSettings) -> [Int] {
        let mating = Mating(settings: settings, shape: Self.shape)
        var generator = RandomGenerator(seed: 4)
        return (0..<4000).map { _ in
            var child = Mating.Child(genome: Self.ones.genome, parents: [0], operation: .copy)
            mating.mutate(&child, using: &generator)
            let flips = child.genome.hammingDistance(to: Self.ones.genome)
            #expect(child.operation == (flips > 0 ? .mutation : .copy))
            return flips
        }
    }

    @Test func ecadPaperMutatesThreePercentOfTheOffspring() {
        let flips = flips(SearchSettings(preset: .ecadPaper))
        // 0.05 * (1 - 1/e) = 3.16 % of 4,000 changed, 0.05 flips on average; six standard deviations.
        #expect(abs(flips.count { $0 > 0 } - 126) < 67)
        #expect(abs(Double(flips.reduce(0, +)) / 4000 - 0.05) < 0.03)
    }

    @Test func mutationRateIsDrawnForEachOffspring() {
        var settings = SearchSettings(preset: .ecadPaper)
        (settings.mutationProbability, settings.minFlips, settings.maxFlips) = (1, 1, 5)
        let flips = flips(settings)
        let mean = Double(flips.reduce(0, +)) / 4000
        #expect(abs(mean - 3) < 0.2)
        // The rate differs between offspring: the variance exceeds that of one rate for all.
        let variance = flips.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / 4000
        #expect(variance > 3.8 && variance < 4.9)
    }

    @Test func regionMutationSetsOneComponentOfAdjacentBlocksAndSteps() {
        var settings = SearchSettings()
        (settings.mutationProbability, settings.regionProbability) = (1, 1)
        let mating = Mating(settings: settings, shape: Self.shape)
        var generator = RandomGenerator(seed: 5)
        var (changed, sizes): (Int, Set<Int>) = (0, [])
        for _ in 0..<2000 {
            var child = Mating.Child(genome: Self.ones.genome, parents: [0], operation: .copy)
            mating.mutate(&child, using: &generator)
            let genes = (0..<Self.shape.geneCount).filter { !child.genome[$0] }
            #expect(child.operation == (genes.isEmpty ? .copy : .mutation))
            guard !genes.isEmpty else { continue }
            changed += 1
            let cells = genes.map(Self.shape.cell)
            let (steps, blocks) = (Set(cells.map(\.step)), Set(cells.map(\.block)))
            #expect(Set(cells.map(\.component)).count == 1)
            #expect(genes.count == steps.count * blocks.count && steps.count <= 5)
            for values in [steps, blocks] {
                #expect((values.max() ?? 0) - (values.min() ?? 0) == values.count - 1)
            }
            sizes.insert(blocks.count)
        }
        // Half of the regions are set to the value they have.
        #expect(abs(changed - 1000) < 135)
        #expect(sizes.count == 28)
    }

    @Test func ecadPaperPresetHasThePublishedParameters() {
        let settings = SearchSettings(preset: .ecadPaper)
        #expect(settings.regionProbability == 0 && settings.screening == 1)
        #expect(settings.crossoverProbability == 0.9 && settings.crossoverPoints == 4)
        #expect(settings.mutationProbability == 0.05 && settings.minFlips == 1 && settings.maxFlips == 1)
        #expect(!settings.usesCanonicalGenomes && settings.minimumDifference == 1 && settings.duplicateRounds == 100)
    }

    static func population(_ genomes: [Genome]) -> [Individual] {
        genomes.enumerated().map { id, genome in
            Individual(
                offspring: offspring(id, genome), objectives: [Double(id), Double(-id)], violation: 0)
        }
    }

    @Test func childrenAreNewAndDistinct() {
        var generator = RandomGenerator(seed: 5)
        for preset in SearchSettings.Preset.allCases {
            let shape = ScheduleShape.pixart(blocks: 2, steps: 3)
            let parents = (0..<6).map { _ in Genome((0..<18).map { _ in generator.integer(below: 2) == 0 }) }
            let children = Mating(settings: SearchSettings(preset: preset), shape: shape)
                .breed(from: Self.population(parents), count: 15, using: &generator)
            #expect(children.count == 15)
            #expect(Set(children.map(\.genome)).union(parents).count == 15 + Set(parents).count)
            if preset == .standard {
                #expect(children.allSatisfy { $0.genome == $0.genome.canonical(for: shape) })
            }
        }
    }

    @Test func breedingEndsWhenTheSearchSpaceIsExhausted() {
        let shape = ScheduleShape.pixart(blocks: 1, steps: 2)
        // Canonical genomes have the first step's three genes set: eight differ in the second step.
        let all = (0..<8).map { number in Genome([true, true, true] + (0..<3).map { number >> $0 & 1 == 1 }) }
        var generator = RandomGenerator(seed: 6)
        let mating = Mating(settings: SearchSettings(), shape: shape)
        #expect(mating.breed(from: Self.population(all), count: 4, using: &generator).isEmpty)
        let rest = mating.breed(from: Self.population(Array(all[..<6])), count: 4, using: &generator)
        #expect(Set(rest.map(\.genome)) == Set(all[6...]))
    }

    @Test func firstChildrenPrecedeSecondChildren() {
        var settings = SearchSettings(preset: .ecadPaper)
        (settings.crossoverProbability, settings.mutationProbability, settings.duplicateRounds) = (1, 0, 1)
        var generator = RandomGenerator(seed: 7)
        let parents = Self.population([Self.ones.genome, Self.zeros.genome])
        let children = Mating(settings: settings, shape: Self.shape).breed(from: parents, count: 40, using: &generator)
        // The two children of one mating are complements; a parent mated with itself produces only duplicates.
        let half = children.count / 2
        #expect(half > 3)
        for (first, second) in zip(children[..<half], children[half...]) {
            #expect(first.genome.hammingDistance(to: second.genome) == Self.shape.geneCount)
        }
        #expect(children.allSatisfy { $0.operation == .crossover })
    }
}
