extension Simulation {
    /// The cluster that is imagined.
    public struct Options: Sendable {
        /// Hosts, each with one worker.
        public var hosts = 100
        /// Times by which the slowest host is slower than the fastest; hosts are spread evenly between.
        public var speedSpread = 2.0
        /// Seconds for an uncached image on the fastest host.
        public var secondsPerImage = 1.0
        /// Chance per hour that a host is taken away.
        public var preemptionsPerHour = 0.0
        /// Seconds until a host that was taken away is replaced.
        public var replacementSeconds = 120.0
        /// Share of the losses without a goodbye: the coordinator must find out by itself.
        public var silentShare = 0.5
        /// Chance that a task fails by an error.
        public var failureRate = 0.0
        /// Chance that a task takes `stragglerFactor` times as long.
        public var stragglerRate = 0.0
        /// How much longer stragglers take.
        public var stragglerFactor = 5.0
        /// Seconds after which the simulation ends; infinite for the whole run.
        public var maximumSeconds = Double.infinity
        /// Price of a host for an hour, in any currency.
        public var pricePerHostHour: Double?
        /// Seed of all chances.
        public var seed: UInt64 = 0

        /// The defaults.
        public init() {}
    }
}
