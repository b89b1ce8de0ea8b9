/// The end of a wait that may be interrupted and taken up again.
struct Deadline {
    private let instant: ContinuousClock.Instant

    init(after timeout: Duration) {
        // A day stands for ever: the waits' callers loop, and the sum below cannot overflow.
        instant = .now + min(max(timeout, .zero), .seconds(86_400))
    }

    var hasPassed: Bool { ContinuousClock.now >= instant }

    /// Rounded up, so that a wait of this length does not end just before the deadline; 0 when it has passed.
    var millisecondsLeft: Int {
        let left = ContinuousClock.now.duration(to: instant)
        guard left > .zero else { return 0 }
        let (seconds, attoseconds) = left.components
        return Int(seconds) * 1_000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
