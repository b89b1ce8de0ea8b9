/// What tasks cost, as measured: seconds for each image of each candidate, on average and by worker.
struct TaskCosts {
    /// The weight of a new measurement.
    private static let weight = 0.2

    /// Seconds for an image of a candidate, averaged over the workers' latest tasks; nil before anything was measured.
    private(set) var average: Double?
    private var byWorker: [Int64: Double] = [:]

    /// Notes how long a worker took for a task.
    ///
    /// - Parameters:
    ///   - seconds: From its start to its result.
    ///   - units: Images times candidates.
    ///   - worker: Who did it.
    mutating func note(seconds: Double, units: Double, by worker: Int64) {
        guard seconds.isFinite, seconds > 0, units > 0 else { return }
        let cost = seconds / units
        average = average.map { $0 + Self.weight * (cost - $0) } ?? cost
        byWorker[worker] = byWorker[worker].map { $0 + Self.weight * (cost - $0) } ?? cost
    }

    /// Seconds that a task will take a worker; nil before anything has been measured.
    func expectedSeconds(units: Double, on worker: Int64) -> Double? {
        (byWorker[worker] ?? average).map { $0 * units }
    }

    /// Forgets a worker that will not come back.
    mutating func forget(_ worker: Int64) { byWorker[worker] = nil }
}
