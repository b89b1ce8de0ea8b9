import Glibc

/// Owned memory for float32 numbers, zero at first and aligned to cache lines.
///
/// Storage does no locking: whoever shares one between threads sees to it that nobody writes what another reads.
public final class Storage: @unchecked Sendable {
    /// The number of floats.
    public let count: Int
    /// The first float, on a 64-byte boundary; valid as long as the storage lives.
    public let pointer: UnsafeMutablePointer<Float>
    private let allocation: UnsafeMutableRawPointer

    /// Allocates `count` zeros.
    ///
    /// - Precondition: The memory is there; running out of it ends the process.
    public init(count: Int) {
        precondition(count >= 0, "a storage of \(count) floats")
        let alignment = 64
        // calloc gets large blocks as zero pages from the system, which a later fill would touch only once.
        guard let allocation = calloc(count * MemoryLayout<Float>.stride + alignment, 1) else {
            preconditionFailure("out of memory for \(count) floats")
        }
        self.count = count
        self.allocation = allocation
        let misalignment = Int(bitPattern: allocation) % alignment
        let start = allocation + (misalignment == 0 ? 0 : alignment - misalignment)
        pointer = start.bindMemory(to: Float.self, capacity: count)
    }

    deinit {
        free(allocation)
    }
}
