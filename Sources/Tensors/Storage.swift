import Glibc

/// Owned memory for float32 elements, zero-initialised and aligned to cache lines.
///
/// Not synchronised: threads that share a storage must not write what another one reads.
public final class Storage: @unchecked Sendable {
    /// The number of floats.
    public let count: Int
    /// The first float, on a 64-byte boundary; valid as long as the storage lives.
    public let pointer: UnsafeMutablePointer<Float>
    private let allocation: UnsafeMutableRawPointer

    /// Allocates `count` zeros; traps if memory is exhausted.
    public init(count: Int) {
        precondition(count >= 0, "storage of \(count) floats")
        let alignment = 64
        // calloc maps large blocks as zero pages, so they are not written twice.
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

/// Scratch memory that operations reuse; grows on demand and never shrinks.
///
/// Not synchronised: use a workspace from one thread at a time.
public final class Workspace {
    /// The use of a piece of scratch memory; pieces with different purposes may be in use at the same time.
    enum Purpose: Int, CaseIterable {
        /// Widened and transposed parts of a weight, one for each thread.
        case panel
        /// The input of a product, rounded to bfloat16.
        case narrowed
        /// The result of a deep product before it is rounded to bfloat16.
        case wide
        /// Packed keys and values, scores and sums of attention, one piece for each thread.
        case scores
        /// The receptive fields of a convolution (im2col).
        case columns
        /// The transformed input windows of a Winograd convolution.
        case windows
        /// The products of a Winograd convolution, before their transform.
        case products
        /// The pixels that a block of a Winograd convolution reads, one patch for each thread.
        case patches
    }

    private var storages = [Storage](repeating: Storage(count: 0), count: Purpose.allCases.count)

    /// Number of allocations so far; constant once every operation has run at its largest size.
    public private(set) var growthCount = 0

    /// An empty workspace.
    public init() {}

    /// The allocated memory in bytes.
    public var byteCount: Int { storages.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride } }

    /// Uninitialised memory for `count` floats, valid until the next call for the same purpose.
    func floats(_ purpose: Purpose, count: Int) -> UnsafeMutablePointer<Float> {
        storage(purpose, count: count).pointer
    }

    /// A storage of at least `count` floats with arbitrary values, valid until the next call for the same purpose.
    func storage(_ purpose: Purpose, count: Int) -> Storage {
        if storages[purpose.rawValue].count < count {
            // Free the old memory first, so that growing does not need both.
            storages[purpose.rawValue] = Storage(count: 0)
            storages[purpose.rawValue] = Storage(count: count)
            growthCount += 1
        }
        return storages[purpose.rawValue]
    }
}
