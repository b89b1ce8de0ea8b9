import Basics
import Foundation

extension Simulation {
    /// What came of it.
    public struct Report: Sendable, Encodable {
        /// Virtual seconds from the start to the end.
        public var seconds = 0.0
        /// True if the run came to its end.
        public var isComplete = false
        /// Generations completed.
        public var generations = 0
        /// Candidates evaluated.
        public var evaluations = 0
        /// Tasks whose results counted.
        public var tasks = 0
        /// Tasks computed for nothing, wholly or in part: hedges, results that came second, rechecks.
        public var surplusTasks = 0
        /// Hosts taken away.
        public var preemptions = 0
        /// Failures reported.
        public var failures = 0
        /// Work whose result counted, or was being done when time was over, as a share of what the hosts that were there
        /// could have done.
        public var throughput = 0.0
        /// Hours of hosts.
        public var hostHours = 0.0
        /// Their price, if one was given.
        public var price: Double?

        private enum CodingKeys: String, CodingKey {
            case seconds, generations, evaluations, tasks, preemptions, failures, throughput, price
            case isComplete = "complete"
            case surplusTasks = "surplus_tasks"
            case hostHours = "host_hours"
        }

        /// A few lines for people.
        public var text: String {
            let duration = durationText(seconds: seconds)
            let lines = [
                "time          \(duration)" + (isComplete ? "" : " (cut off: the run is not complete)"),
                "generations   \(generations)", "evaluations   \(evaluations)",
                "tasks         \(tasks), \(surplusTasks) more for nothing", "preemptions   \(preemptions)",
                "failures      \(failures)",
                String(format: "throughput    %.1f %% of what the hosts could have done", 100 * throughput),
                String(format: "host hours    %.1f", hostHours),
            ]
            return (lines + (price.map { [String(format: "price         %.2f", $0)] } ?? [])).joined(separator: "\n")
        }
    }
}
