import Foundation
import Glibc

/// Keeps the thread that talks apart from the threads that compute, so that heartbeats go out in time.
///
/// Where more processors are allowed than threads are asked for, the talking thread has the last one for itself.
/// Otherwise the computing threads give way to it by their priority.
struct ThreadPlacement {
    private static let niceness: Int32 = 5
    /// Bytes of the kernel's sets of processors, for 1,024 of them.
    private static let setBytes = 128

    private let talking: [UInt8]?
    private let computing: [UInt8]?

    /// Plans for as many computing threads; the main thread is the one that will talk.
    init(threads: Int) {
        var allowed = [UInt8](repeating: 0, count: Self.setBytes)
        guard let get = affinityCall("sched_getaffinity"), get(0, allowed.count, &allowed) == 0 else {
            (talking, computing) = (nil, nil)
            return
        }
        let processors = (0..<8 * Self.setBytes).filter { allowed[$0 / 8] & 1 << UInt8($0 % 8) != 0 }
        guard processors.count > threads, let last = processors.last else {
            (talking, computing) = (nil, nil)
            return
        }
        talking = Self.set([last])
        computing = Self.set(processors.dropLast())
    }

    /// Moves every thread of the process but the main one aside; threads that they start later follow them.
    func moveOthersAside() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
        for thread in names.compactMap({ Int32($0) }) where thread != getpid() {
            if let computing { Self.confine(thread, to: computing) }
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(thread), Self.niceness)
        }
    }

    /// Gives the main thread its processor; threads that it starts later share it.
    func settleTalker() {
        if let talking { Self.confine(getpid(), to: talking) }
    }

    private static func confine(_ thread: Int32, to processors: [UInt8]) {
        var processors = processors
        _ = affinityCall("sched_setaffinity")?(thread, processors.count, &processors)
    }

    private static func set(_ processors: some Sequence<Int>) -> [UInt8] {
        var set = [UInt8](repeating: 0, count: setBytes)
        for processor in processors { set[processor / 8] |= 1 << UInt8(processor % 8) }
        return set
    }
}

private typealias AffinityCall = @convention(c) (pid_t, Int, UnsafeMutableRawPointer) -> Int32

/// A call that the headers show to programs of GNU C alone.
private func affinityCall(_ name: String) -> AffinityCall? {
    dlsym(nil, name).map { unsafeBitCast($0, to: AffinityCall.self) }
}
