/// The latest timings of the uncached model for one number of images, to which candidates' latencies are related.
///
/// A single timing is wrong by several percent, and the speed of a machine changes. Their median follows it and ignores a
/// disturbance.
struct UncachedTimings {
    /// Timings of which the median is taken.
    static let count = 3
    /// Shorter runs than this many seconds are timed for each of the first candidates, if latencies are an objective.
    static let shortSeconds = 1.0

    /// Number of images denoised together.
    let imageCount: Int
    /// Seconds per image.
    private var latest: [Double] = []
    private var end: ContinuousClock.Instant?

    init(imageCount: Int) {
        self.imageCount = imageCount
    }

    /// The median of the latest timings; nil before the first.
    var secondsPerImage: Double? { latest.isEmpty ? nil : Evaluator.median(latest) }

    mutating func add(_ secondsPerImage: Double, at now: ContinuousClock.Instant) {
        latest = latest.suffix(Self.count - 1) + [secondsPerImage]
        end = now
    }

    /// Whether the model should be timed again: for a twentieth of a worker's time where latencies are an objective,
    /// otherwise at most once a minute and for a fiftieth of the time.
    func isDue(at now: ContinuousClock.Instant, isObjective: Bool) -> Bool {
        guard let end, let last = latest.last else { return true }
        let seconds = last * Double(imageCount)
        guard isObjective else { return now - end > .seconds(max(60, 50 * seconds)) }
        return latest.count < Self.count && seconds < Self.shortSeconds || now - end > .seconds(20 * seconds)
    }
}
