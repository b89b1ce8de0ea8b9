import FoundationEssentials
import ModelConfiguration

/// Seconds of each part of a model's denoising on one kind of machine, from which the cost of any schedule follows.
///
/// A schedule's seconds are modelled as a sum over its steps and over the component instances computed, stored and read.
/// The ratio to the uncached schedule depends on the table alone, not on the load of a machine.
public struct CostTable: Hashable, Codable, Sendable {
    /// Seconds for one instance of a component.
    public struct Costs: Hashable, Codable, Sendable {
        /// Seconds to compute it.
        public var compute: Double
        /// Additional seconds to store its output in the cache.
        public var keep: Double
        /// Seconds to read it from the cache, beyond what the cost of a step includes.
        public var read: Double

        /// Makes costs.
        public init(compute: Double = 0, keep: Double = 0, read: Double = 0) {
            self.compute = compute
            self.keep = keep
            self.read = read
        }
    }

    /// Costs of the steps with the same batch size.
    public struct Phase: Hashable, Codable, Sendable {
        /// Seconds for a step without any component.
        public var step: Double
        /// Costs by component name.
        public var components: [String: Costs]

        /// Makes costs.
        public init(step: Double, components: [String: Costs]) {
            self.step = step
            self.components = components
        }

        func seconds(of work: ScheduleWork.Phase) -> Double {
            // A fixed order keeps the sum reproducible to the last bit.
            Component.allCases.reduce(step * Double(work.stepCount)) { sum, component in
                guard let counts = work.components[component], let costs = components[component.rawValue] else {
                    return sum
                }
                return sum + costs.compute * Double(counts.computed) + costs.keep * Double(counts.kept)
                    + costs.read * Double(counts.read)
            }
        }
    }

    /// Images denoised together when the costs were measured; all seconds are totals for them.
    public let imageCount: Int
    /// Costs of the steps with guidance; of all steps if there is no guidance.
    public let full: Phase
    /// Costs of the steps after TGATE's gate; nil if not measured.
    public let gated: Phase?

    /// Makes a table.
    public init(imageCount: Int, full: Phase, gated: Phase? = nil) {
        self.imageCount = imageCount
        self.full = full
        self.gated = gated
    }

    /// Reads a table from JSON.
    ///
    /// - Parameters:
    ///   - json: The table.
    ///   - shape: The shape whose components it must cover.
    ///   - source: The text's name in errors.
    /// - Throws: ``SchedulesError/costTable(source:problem:)`` for malformed JSON, missing components and
    ///   costs that are not finite or negative.
    public init(json: String, shape: ScheduleShape, source: String) throws(SchedulesError) {
        do {
            self = try JSONDecoder().decode(CostTable.self, from: Data(json.utf8))
        } catch {
            throw .costTable(source: source, problem: "not JSON with the keys imageCount, full and gated")
        }
        guard imageCount > 0 else {
            throw .costTable(source: source, problem: "imageCount is \(imageCount); expected at least 1")
        }
        let names = Set(shape.blocks.flatMap(\.components).map(\.rawValue))
        for phase in [full, gated].compactMap(\.self) {
            for name in names.sorted() where phase.components[name] == nil {
                throw .costTable(source: source, problem: "no costs of \(name)")
            }
            let prices = [phase.step] + phase.components.values.flatMap { [$0.compute, $0.keep, $0.read] }
            guard prices.allSatisfy({ $0.isFinite && $0 >= 0 && $0 < 1e9 }) else {
                throw .costTable(source: source, problem: "a cost is not finite or negative")
            }
        }
        guard uncachedSeconds(shape) > 0 else { throw .costTable(source: source, problem: "all costs are 0") }
    }

    /// The table as JSON; equal tables give equal texts.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // Finite numbers and texts always encode.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    /// Modelled seconds of denoising under a schedule; nil for a TGATE schedule whose second phase was not measured.
    public func seconds(of schedule: Schedule) -> Double? {
        let work = ScheduleWork(schedule)
        return work.gated.stepCount > 0 && gated == nil ? nil : seconds(of: work)
    }

    /// Modelled seconds of some work, without the part after TGATE's gate if that was not measured.
    public func seconds(of work: ScheduleWork) -> Double {
        full.seconds(of: work.full) + (gated?.seconds(of: work.gated) ?? 0)
    }

    /// Modelled seconds of the uncached schedule.
    public func uncachedSeconds(_ shape: ScheduleShape) -> Double {
        full.seconds(of: ScheduleWork(Schedule(shape: shape)).full)
    }

    /// Modelled seconds under a schedule relative to the uncached one; nil as for ``seconds(of:)``.
    public func ratio(of schedule: Schedule) -> Double? {
        seconds(of: schedule).map { $0 / uncachedSeconds(schedule.shape) }
    }
}

/// The amount of each kind of work that the engine does for a schedule; ``CostTable`` assigns costs to it.
public struct ScheduleWork: Hashable, Sendable {
    /// Counts of the instances of one component over all blocks and the steps of a phase.
    public struct Counts: Hashable, Sendable {
        /// Instances computed.
        public var computed = 0
        /// Computed instances whose output is stored for a later step.
        public var kept = 0
        /// Instances read from the cache.
        public var read = 0

        /// No work.
        public init() {}
    }

    /// The steps with the same batch size: with guidance, or without it after TGATE's gate.
    public struct Phase: Hashable, Sendable {
        /// Number of steps.
        public var stepCount = 0
        /// Counts of every component of the shape.
        public var components: [Component: Counts] = [:]
    }

    /// The steps before TGATE's gate; all steps without one.
    public let full: Phase
    /// The steps from TGATE's gate on, which run without guidance on half the batch.
    public let gated: Phase

    /// Counts a schedule's work.
    ///
    /// - Complexity: O(genes).
    public init(_ schedule: Schedule) {
        self.init(schedule, lifetimes: OutputLifetimes(schedule), steps: 0..<schedule.shape.stepCount)
    }

    /// The work of each step.
    ///
    /// - Complexity: O(genes).
    public static func steps(of schedule: Schedule) -> [ScheduleWork] {
        let lifetimes = OutputLifetimes(schedule)
        return (0..<schedule.shape.stepCount).map { ScheduleWork(schedule, lifetimes: lifetimes, steps: $0..<($0 + 1)) }
    }

    private init(_ schedule: Schedule, lifetimes: OutputLifetimes, steps: Range<Int>) {
        let shape = schedule.shape
        let gate = min(schedule.gateStep ?? shape.stepCount, shape.stepCount)
        var counts = [[Counts]](
            repeating: Array(repeating: Counts(), count: Component.allCases.count), count: 2)
        let number = Dictionary(uniqueKeysWithValues: Component.allCases.enumerated().map { ($1, $0) })
        let kinds = shape.blocks.flatMap(\.components).map { number[$0] ?? 0 }
        for gene in (steps.lowerBound * shape.genesPerStep)..<(steps.upperBound * shape.genesPerStep) {
            let (step, index) = gene.quotientAndRemainder(dividingBy: shape.genesPerStep)
            let phase = step < gate ? 0 : 1
            if lifetimes.isComputed(gene) {
                counts[phase][kinds[index]].computed += 1
                if lifetimes.isKept(gene) { counts[phase][kinds[index]].kept += 1 }
            } else if lifetimes.isRead(gene) {
                counts[phase][kinds[index]].read += 1
            }
        }
        func phase(_ index: Int, stepCount: Int) -> Phase {
            let present = Set(kinds)
            let components = Component.allCases.enumerated().filter { present.contains($0.offset) }
            return Phase(
                stepCount: stepCount,
                components: Dictionary(uniqueKeysWithValues: components.map { ($1, counts[index][$0]) }))
        }
        full = phase(0, stepCount: steps.count { $0 < gate })
        gated = phase(1, stepCount: steps.count { $0 >= gate })
    }
}
