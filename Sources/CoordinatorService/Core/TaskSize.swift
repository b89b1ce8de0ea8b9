/// How many schedules go into a task: as many as take some seconds, by what tasks have cost so far.
///
/// A task that takes milliseconds is mostly messages and waits for the disk; of one that takes an hour, much is lost
/// with its worker, and the last ones of a generation keep all others waiting.
struct TaskSize {
    /// The most that fit a message with room to spare.
    static let limit = 256
    /// Schedules while nothing has been measured.
    static let first = 4

    /// A fixed number of schedules; nil to go by costs.
    let fixed: Int?
    /// Seconds that a task should take.
    let seconds: Double
    /// Seconds for an image of a candidate; nil before anything was measured.
    var secondsPerUnit: Double?
    /// Workers that share the tasks.
    var workerCount = 0

    /// Takes a fixed number of schedules, or one by costs.
    init(fixed: Int?, seconds: Double) {
        self.fixed = fixed
        self.seconds = seconds
    }

    /// Schedules of a task.
    ///
    /// - Parameters:
    ///   - count: Schedules to be evaluated together.
    ///   - images: Images of each.
    ///   - imagesPerTask: Images of a task.
    /// - Returns: At least 1. Where there are enough, every worker gets at least two tasks, so that a slow one does not
    ///   keep the others waiting for long.
    func schedules(of count: Int, images: Int, imagesPerTask: Int) -> Int {
        if let fixed { return fixed }
        let shards = (images + imagesPerTask - 1) / imagesPerTask
        let share = max(1, count * shards / (2 * max(1, workerCount)))
        guard let secondsPerUnit, secondsPerUnit > 0 else { return min(Self.first, share) }
        let wanted = (seconds / (secondsPerUnit * Double(min(images, imagesPerTask)))).rounded()
        return Int(min(max(1, wanted), Double(min(Self.limit, share))))
    }
}
