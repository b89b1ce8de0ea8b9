import Foundation
import Glibc

/// Lets the thread that talks go before those that compute, so that heartbeats go out in time.
///
/// By priority and not by a processor of its own: several workers on one machine would choose the same one.
enum ThreadPriority {
    private static let niceness: Int32 = 5

    /// Lowers every thread of the process but the main one, which talks; threads that they start later follow them.
    static func lowerOthers() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
        for thread in names.compactMap({ Int32($0) }) where thread != getpid() {
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(thread), niceness)
        }
    }
}
