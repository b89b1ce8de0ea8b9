import ModelConfiguration
import Schedules
import TestSupport
import Testing

@testable import Evolution

@Suite struct ChainSolverTests {
    /// Random errors that grow with the gap, and random costs.
    static func basis(_ shape: ScheduleShape, seed: UInt64 = 1, storage: Bool = true) throws -> SearchBasis {
        var generator = RandomGenerator(seed: seed)
        var values: [Float] = []
        for _ in 0..<shape.genesPerStep {
            let chain = 0.1 + generator.unit()
            for step in 0..<shape.stepCount {
                for source in 0..<step {
                    values.append(Float(chain * (0.2 + generator.unit()) * Double(step - source)))
                }
            }
        }
        var components: [Component: ComponentCost] = [:]
        for component in Component.allCases {
            components[component] = ComponentCost(
                compute: 0.5 + generator.unit(), keep: storage ? 0.2 * generator.unit() : 0,
                read: storage ? 0.2 * generator.unit() : 0)
        }
        let chains = shape.blocks.flatMap(\.components).map { components[$0] ?? ComponentCost(compute: 0) }
        let total = Double(shape.stepCount) * (2 + chains.reduce(0) { $0 + $1.compute })
        return SearchBasis(
            errors: try ReuseErrors(shape: shape, values: values),
            cost: try ScheduleCost(
                fixed: 2 * Double(shape.stepCount) / total,
                chains: chains.map {
                    ComponentCost(compute: $0.compute / total, keep: $0.keep / total, read: $0.read / total)
                }), reference: [1.1, 0])
    }

    static func solver(_ basis: SearchBasis) -> ChainSolver {
        ChainSolver(shape: basis.errors.shape, values: basis.errors.values, cost: basis.cost)
    }

    /// Sum of the errors of all reused outputs, straight from the definition.
    static func error(_ genome: Genome, _ errors: ReuseErrors) -> Double {
        let shape = errors.shape
        var sum = 0.0
        for chain in 0..<shape.genesPerStep {
            for step in 1..<shape.stepCount where !genome[step * shape.genesPerStep + chain] {
                let source = (0..<step).last { $0 == 0 || genome[$0 * shape.genesPerStep + chain] } ?? 0
                sum += Double(errors[chain: chain, step: step, source: source])
            }
        }
        return sum
    }

    static func allGenomes(_ shape: ScheduleShape) -> [Genome] {
        let free = shape.geneCount - shape.genesPerStep
        return (0..<(1 << free)).map { bits in
            var genome = Genome(repeating: true, count: shape.geneCount)
            for gene in 0..<free where bits >> gene & 1 == 0 { genome[shape.genesPerStep + gene] = false }
            return genome
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func solutionsEqualBruteForce(_ seed: UInt64) throws {
        let shape = ScheduleShape.pixart(blocks: 1, steps: 5)
        let basis = try Self.basis(shape, seed: seed)
        let solver = Self.solver(basis)
        let all = Self.allGenomes(shape).map {
            (error: Self.error($0, basis.errors), cost: basis.cost.total(of: $0, shape: shape))
        }
        var solutions: Set<Genome> = []
        for exponent in stride(from: -3.0, through: 9, by: 0.5) {
            let multiplier = Double(sign: .plus, exponent: Int(exponent.rounded(.down)), significand: 1.3)
            let genome = solver.genome(multiplier: multiplier)
            solutions.insert(genome)
            let found = Self.error(genome, basis.errors) + multiplier * basis.cost.total(of: genome, shape: shape)
            let least = all.map { $0.error + multiplier * $0.cost }.min() ?? 0
            #expect(abs(found - least) < 1e-9 * abs(least))
        }
        #expect(solutions.count > 4)
    }

    /// The chains of a FLUX single-stream block depend on each other: solutions are as good as any schedule that treats
    /// its components alike.
    @Test func fluxSolutionsBeatUniformSchedules() throws {
        let shape = ScheduleShape.flux(fullBlocks: 1, singleBlocks: 2, steps: 7)
        let basis = try Self.basis(shape)
        let model = ErrorModel(basis.errors)
        let family = Self.solver(basis).family(count: 40)
        #expect(family.count > 10 && family.allSatisfy { $0 == $0.canonical(for: shape) })
        for interval in 2...7 {
            let uniform = try Heuristic.fora(interval: interval).schedule(for: shape).genome.canonical(for: shape)
            let cost = basis.cost.total(of: uniform, shape: shape)
            let cheaper = family.filter { basis.cost.total(of: $0, shape: shape) <= cost + 0.05 }
            let least = cheaper.map { model.logError(of: $0) }.min() ?? .infinity
            #expect(least <= model.logError(of: uniform), "interval \(interval)")
        }
    }

    @Test(arguments: [ScheduleShape.pixart(blocks: 8, steps: 20), .flux(fullBlocks: 2, singleBlocks: 4, steps: 10)])
    func familiesCoverTheRangeOfCosts(_ shape: ScheduleShape) throws {
        let basis = try Self.basis(shape)
        let family = Self.solver(basis).family(count: 24)
        let costs = family.map { basis.cost.total(of: $0, shape: shape) }
        #expect(family.count == 24 && Set(family).count == 24)
        #expect(zip(costs, costs.dropFirst()).allSatisfy { $0 > $1 })
        let range = costs[0] - costs[23]
        #expect(costs[0] < 1 && costs[0] > 0.93 && range > 0.5)
        #expect(zip(costs, costs.dropFirst()).allSatisfy { $0 - $1 < range / 23 * 2 })
        let model = ErrorModel(basis.errors)
        let errors = family.map { model.logError(of: $0) }
        #expect(zip(errors, errors.dropFirst()).allSatisfy { $0 < $1 })
    }

    @Test(arguments: [ScheduleShape.pixart(blocks: 2, steps: 7), .flux(fullBlocks: 1, singleBlocks: 2, steps: 7)])
    func computedStepsEqualBruteForce(_ shape: ScheduleShape) throws {
        let basis = try Self.basis(shape, seed: 9)
        let model = ErrorModel(basis.errors)
        for count in 1...7 {
            let found = ChainSolver.computedSteps(count, shape: shape, values: basis.errors.values)
            #expect(found.first == 0 && found == Set(found).sorted() && found.count == count)
            func error(_ steps: [Int]) -> Double {
                let solver = ChainSolver(
                    shape: shape, values: basis.errors.values, cost: basis.cost, computedSteps: steps)
                return model.logError(of: solver.uniform)
            }
            let all = (0..<64).map { bits in [0] + (1..<7).filter { bits >> ($0 - 1) & 1 == 1 } }
            let least = all.filter { $0.count == count }.map(error).min() ?? .nan
            #expect(error(found) == least || abs(error(found) - least) < 1e-9, "\(count) steps")
        }
    }

    /// With some steps given, the solutions are still optimal, and compute nothing at the others.
    @Test func solutionsWithGivenStepsEqualBruteForce() throws {
        let shape = ScheduleShape.pixart(blocks: 1, steps: 6)
        let basis = try Self.basis(shape, seed: 2)
        let steps = [0, 2, 5]
        let solver = ChainSolver(
            shape: shape, values: basis.errors.values, cost: basis.cost, computedSteps: steps)
        let all = Self.allGenomes(shape).filter { genome in
            [1, 3, 4].allSatisfy { step in (0..<3).allSatisfy { !genome[step * 3 + $0] } }
        }
        for exponent in -3...8 {
            let multiplier = Double(sign: .plus, exponent: exponent, significand: 1.3)
            func value(_ genome: Genome) -> Double {
                Self.error(genome, basis.errors) + multiplier * basis.cost.total(of: genome, shape: shape)
            }
            let genome = solver.genome(multiplier: multiplier)
            #expect(all.contains(genome))
            let least = all.map(value).min() ?? .nan
            #expect(abs(value(genome) - least) < 1e-9 * abs(least))
        }
        let family = solver.family(count: 8)
        #expect(family.count > 3 && family.allSatisfy(all.contains))
    }

    @Test func familiesByComputedSteps() throws {
        let shape = ScheduleShape.pixart(blocks: 2, steps: 10)
        let basis = try Self.basis(shape)
        func solvers(_ most: Int, _ count: Int) -> [ChainSolver] {
            ChainSolver.byComputedSteps(
                shape: shape, values: basis.errors.values, cost: basis.cost, most: most, count: count)
        }
        let counts = solvers(9, 4).map { $0.uniform.recomputeCount / shape.genesPerStep }
        #expect(counts == [2, 4, 7, 9])
        #expect(solvers(9, 100).count == 8 && solvers(5, 1).count == 1 && solvers(1, 4).isEmpty)
    }

    @Test func chainsWithoutErrorAreNeverRecomputed() throws {
        let shape = ScheduleShape.pixart(blocks: 2, steps: 6)
        let basis = try Self.basis(shape)
        var values = basis.errors.values
        for index in 0..<basis.errors.pairCount { values[index] = 0 }
        let solver = ChainSolver(shape: shape, values: values, cost: basis.cost)
        for genome in solver.family(count: 10) {
            #expect((1..<6).allSatisfy { !genome[$0 * shape.genesPerStep] })
        }
    }

    @Test(arguments: [
        ("alpha-micro", ScheduleShape.pixart(blocks: 2, steps: 6)),
        ("flux-small", .flux(fullBlocks: 2, singleBlocks: 3, steps: 6)),
    ])
    func costsEqualTheCountedMultiplyAdds(_ fixture: String, _ shape: ScheduleShape) throws {
        let folder = "\(Fixtures.folder)/\(fixture)/model"
        let architecture = try ModelDescription(modelFolder: folder, height: 32, width: 32).architecture
        let shape = try architecture.shape(stepCount: 6)
        let cost = try ScheduleCost(multiplyAdds: architecture, shape: shape)
        let uncached = Double(try architecture.macs(Schedule(shape: shape)).total)
        for genome in try Self.randomGenomes(shape) {
            let counted = Double(try architecture.macs(Schedule(shape: shape, genome: genome)).total) / uncached
            #expect(abs(cost.total(of: genome, shape: shape) - counted) < 1e-12)
        }
    }

    @Test(arguments: [
        ScheduleShape.pixart(blocks: 3, steps: 8), .flux(fullBlocks: 2, singleBlocks: 3, steps: 8),
    ])
    func costsEqualACostTable(_ shape: ScheduleShape) throws {
        var components: [String: CostTable.Costs] = [:]
        for (index, component) in Component.allCases.enumerated() {
            components[component.rawValue] = .init(
                compute: Double(3 + index), keep: 0.1 * Double(index + 1), read: 0.02 * Double(index + 3))
        }
        let table = CostTable(imageCount: 1, full: .init(step: 2, components: components))
        let cost = try ScheduleCost(table: table, shape: shape)
        for genome in try Self.randomGenomes(shape) {
            let expected = try #require(table.ratio(of: Schedule(shape: shape, genome: genome)))
            #expect(abs(cost.total(of: genome, shape: shape) - expected) < 1e-12)
        }
        #expect(throws: EvolutionError.self) {
            try ScheduleCost(table: CostTable(imageCount: 1, full: .init(step: 2, components: [:])), shape: shape)
        }
    }

    static func randomGenomes(_ shape: ScheduleShape) throws -> [Genome] {
        var generator = RandomGenerator(seed: 3)
        return try seedPopulation(names: ["random"], count: 20, shape: shape, using: &generator).map(\.genome)
    }

    @Test func invalidErrorsAndCostsAreRejected() throws {
        let shape = ScheduleShape.pixart(blocks: 1, steps: 3)
        let count = ReuseErrors.count(for: shape)
        #expect(count == 9)
        for values in [[Float]](repeating: [], count: 1) + [Array(repeating: 0, count: count)] {
            #expect(throws: EvolutionError.self) { try ReuseErrors(shape: shape, values: values) }
        }
        for bad in [-1, .nan, .infinity] as [Float] {
            var values = [Float](repeating: 1, count: count)
            values[4] = bad
            #expect(throws: EvolutionError.self) { try ReuseErrors(shape: shape, values: values) }
            let prices = ComponentCost(compute: Double(bad))
            #expect(throws: EvolutionError.self) { try ScheduleCost(fixed: 0.1, chains: [prices]) }
        }
        #expect(throws: EvolutionError.self) { try ScheduleCost(fixed: 1, chains: [ComponentCost(compute: 0)]) }
        #expect(throws: EvolutionError.self) { try ReuseErrors(averaging: []) }
        let one = try ReuseErrors(shape: shape, values: Array(repeating: 1, count: count))
        let other = try Self.basis(.pixart(blocks: 1, steps: 4)).errors
        #expect(throws: EvolutionError.self) { try ReuseErrors(averaging: [one, other]) }
    }
}
