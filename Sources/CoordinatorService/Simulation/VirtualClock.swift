/// A clock that stands still until it is set.
final class VirtualClock {
    /// Seconds.
    var now = 0.0
}
