import FoundationEssentials
import ModelConfiguration

/// What the parts of a model's denoising cost on one kind of machine, and so what any schedule will cost there.
///
/// A schedule's seconds are modelled as a sum: its steps, and every component instance computed, kept or read. The
/// ratio to the uncached schedule follows from the table alone, so it is the same whoever asks, whatever else runs on
/// the machine.
public struct CostTable: Hashable, Codable, Sendable {
    /// Seconds for one instance of a component.
    public struct Costs: Hashable, Codable, Sendable {
        /// Computing it.
        public var compute: Double
        /// Keeping its output in the cache, on top of computing it.
        public var keep: Double
        /// Reading it from the cache, where the price of a step does not hold that already.
        public var read: Double

        /// Makes costs.
        public init(compute: Double = 0, keep: Double = 0, read: Double = 0) {
            self.compute = compute
            self.keep = keep
            self.read = read
        }
    }

    /// Prices of steps that see the latents alike.
    public struct Phase: Hashable, Codable, Sendable {
        /// Seconds for a step without any component.
        public var step: Double
        /// Costs by the component's name.
        public var components: [String: Costs]

        /// Makes prices.
        public init(step: Double, components: [String: Costs]) {
            self.step = step
            self.components = components
        }

        func seconds(of work: ScheduleWork.Phase) -> Double {
            // In the order of the components, so that the sum is the same to the last bit every time.
            Component.allCases.reduce(step * Double(work.stepCount)) { sum, component in
                guard let counts = work.components[component], let costs = components[component.rawValue] else {
                    return sum
                }
                return sum + costs.compute * Double(counts.computed) + costs.keep * Double(counts.kept)
                    + costs.read * Double(counts.read)
            }
        }
    }

    /// Images denoised together when the costs were measured; all seconds are for all of them.
    public let imageCount: Int
    /// Prices of the steps with guidance, of all steps where there is none.
    public let full: Phase
    /// Prices of the steps after TGATE's gate; nil where they were not measured.
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
    ///   - shape: What it must have prices for.
    ///   - source: What an error calls the text.
    /// - Throws: ``SchedulesError/costTable(source:problem:)`` for what is no table, lacks a component, or holds
    ///   numbers that are no prices.
    public init(json: String, shape: ScheduleShape, source: String) throws(SchedulesError) {
        do {
            self = try JSONDecoder().decode(CostTable.self, from: Data(json.utf8))
        } catch {
            throw .costTable(source: source, problem: "expected imageCount, full and gated as JSON")
        }
        guard imageCount > 0 else { throw .costTable(source: source, problem: "imageCount \(imageCount)") }
        let names = Set(shape.blocks.flatMap(\.components).map(\.rawValue))
        for phase in [full, gated].compactMap(\.self) {
            for name in names.sorted() where phase.components[name] == nil {
                throw .costTable(source: source, problem: "it has no costs of \(name)")
            }
            let prices = [phase.step] + phase.components.values.flatMap { [$0.compute, $0.keep, $0.read] }
            guard prices.allSatisfy({ $0.isFinite && $0 >= 0 && $0 < 1e9 }) else {
                throw .costTable(source: source, problem: "expected finite seconds, none negative")
            }
        }
        guard uncachedSeconds(shape) > 0 else { throw .costTable(source: source, problem: "all costs are 0") }
    }

    /// The table as JSON with sorted keys: equal tables give equal texts.
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

    /// Modelled seconds of some work; what is done after TGATE's gate costs nothing where that was not measured.
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
