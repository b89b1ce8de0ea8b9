import Foundation

/// When the batch system ends this process.
public struct WalltimeLimit: Sendable {
    private let end: Date

    /// Ends some seconds from now.
    public init(seconds: Double) { end = Date(timeIntervalSinceNow: seconds) }

    /// Reads what Slurm tells its jobs; nil outside of Slurm.
    ///
    /// - Parameter environment: `SLURM_JOB_END_TIME` in Unix seconds, of Slurm 22.05 and later.
    public init?(environment: [String: String]) {
        guard let seconds = environment["SLURM_JOB_END_TIME"].flatMap({ Double($0) }), seconds > 0 else { return nil }
        end = Date(timeIntervalSince1970: seconds)
    }

    /// Seconds left, not below 0.
    var secondsLeft: Double { max(0, end.timeIntervalSinceNow) }
}
