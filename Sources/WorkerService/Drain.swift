/// A pending shutdown: no more tasks are requested.
struct Drain {
    private static let acknowledgementSeconds = 5.0

    /// The current task is returned if it is still running at this time.
    let deadline: ContinuousClock.Instant
    /// The worker leaves at this time even without acknowledgements: the results are in the spool.
    let end: ContinuousClock.Instant

    init(graceSeconds: Double) {
        let now = ContinuousClock.now
        deadline = now + .seconds(graceSeconds)
        end = now + .seconds(graceSeconds + Self.acknowledgementSeconds)
    }
}
