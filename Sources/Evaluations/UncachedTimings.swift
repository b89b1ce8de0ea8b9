/// The latest timings of the uncached model for one number of images, to which candidates' latencies are related.
///
/// A single timing is wrong by several percent, and a machine's speed changes within a minute. Timings spread over the
/// whole time follow it, and their median ignores a disturbance.
struct UncachedTimings {
    /// Timings of which the median is taken.
    static let count = 3
    /// A timing is due after this many times its duration: uncached runs take at most a twentieth of a worker's time.
    static let interval = 20.0

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

    func isDue(at now: ContinuousClock.Instant) -> Bool {
        guard let end, let last = latest.last else { return true }
        return now - end > .seconds(Self.interval * last * Double(imageCount))
    }
}
