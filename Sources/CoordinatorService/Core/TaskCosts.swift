/// Measured cost of tasks in seconds per unit (an image of a candidate): on average, and by worker.
struct TaskCosts {
    /// The weight of a new measurement in the moving averages.
    private static let weight = 0.2

    /// Seconds per unit, averaged over all workers' latest tasks; nil before the first measurement.
    private(set) var average: Double?
    private var byWorker: [Int64: Double] = [:]

    /// Records how many seconds a worker took from the start of a task to its result.
    mutating func record(seconds: Double, units: Double, by worker: Int64) {
        guard seconds.isFinite, seconds > 0, units > 0 else { return }
        let cost = seconds / units
        average = average.map { $0 + Self.weight * (cost - $0) } ?? cost
        byWorker[worker] = byWorker[worker].map { $0 + Self.weight * (cost - $0) } ?? cost
    }

    /// Expected seconds of a task on a worker; nil before the first measurement.
    func expectedSeconds(units: Double, on worker: Int64) -> Double? {
        (byWorker[worker] ?? average).map { $0 * units }
    }
}

/// How many schedules a task evaluates: as many as take some seconds at the measured cost.
///
/// A task of milliseconds is mostly messages and disk waits; one of an hour is expensive to lose, and the last ones of
/// a generation keep all other workers waiting.
struct TaskSize {
    /// The largest number of schedules, so that a result fits a message.
    static let limit = 256
    /// The number of schedules before anything has been measured.
    static let first = 4

    /// A fixed number of schedules; nil to follow the measured cost.
    let fixed: Int?
    /// Seconds that a task should take.
    let seconds: Double
    /// Seconds per image of a candidate; nil before the first measurement.
    var secondsPerUnit: Double?
    /// Workers that share the tasks.
    var workerCount = 0

    init(fixed: Int?, seconds: Double) {
        self.fixed = fixed
        self.seconds = seconds
    }

    /// Chooses the number of schedules in a task.
    ///
    /// Every worker gets at least two tasks if there are enough, so that a slow one does not hold up the others.
    ///
    /// - Parameters:
    ///   - count: Schedules to be evaluated together.
    ///   - images: Images of each.
    ///   - imagesPerTask: Images in a task.
    /// - Returns: 1 to ``limit``.
    func schedules(of count: Int, images: Int, imagesPerTask: Int) -> Int {
        if let fixed { return fixed }
        let shards = (images + imagesPerTask - 1) / imagesPerTask
        let share = max(1, count * shards / (2 * max(1, workerCount)))
        guard let secondsPerUnit, secondsPerUnit > 0 else { return min(Self.first, share) }
        let target = (seconds / (secondsPerUnit * Double(min(images, imagesPerTask)))).rounded()
        return Int(min(max(1, target), Double(min(Self.limit, share))))
    }

    /// Divides schedules in order of falling cost among tasks.
    ///
    /// The tasks become shorter towards the end, down to ``first`` schedules (guided self-scheduling, Polychronopoulos
    /// and Kuck, 1987), so that workers finish a generation at about the same time.
    ///
    /// - Returns: The schedules of each task, as ranges of their positions.
    func division(of count: Int, images: Int, imagesPerTask: Int) -> [Range<Int>] {
        let least = min(Self.first, schedules(of: count, images: images, imagesPerTask: imagesPerTask))
        var ranges: [Range<Int>] = []
        var start = 0
        while start < count {
            let size = schedules(of: count - start, images: images, imagesPerTask: imagesPerTask)
            let end = min(start + max(size, least), count)
            ranges.append(start..<end)
            start = end
        }
        return ranges
    }
}
