import Glibc

/// The time that this process's operations take, for comparing one computation with another.
///
/// With one BLAS thread it is the processor time of the calling thread, so that being interrupted by other processes
/// does not count; with several, of which each may be interrupted, it is the time on the wall.
public enum ComputeClock {
    /// Seconds since some moment; differences between two calls on one thread mean something.
    public static var now: Double {
        var time = timespec()
        clock_gettime(BLAS.threadCount == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Runs `body` and returns the seconds it took.
    public static func seconds(of body: () throws -> Void) rethrows -> Double {
        let start = now
        try body()
        return now - start
    }
}
