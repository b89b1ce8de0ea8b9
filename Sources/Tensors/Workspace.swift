/// Scratch memory that operations reuse: it grows when an operation first needs it and stays.
///
/// One engine has one workspace and uses it from one thread at a time.
public final class Workspace {
    /// What a piece of scratch memory is for; pieces of different purpose are in use at the same time.
    enum Purpose: Int, CaseIterable {
        /// Rows of a half-precision weight, widened.
        case panel
        /// Attention scores.
        case scores
        /// The receptive fields of a convolution.
        case columns
    }

    private var storages = [Storage](repeating: Storage(count: 0), count: Purpose.allCases.count)

    /// How often memory was allocated, which stops once every operation has run at its largest size.
    public private(set) var growthCount = 0

    /// An empty workspace.
    public init() {}

    /// The memory held, in bytes.
    public var byteCount: Int { storages.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride } }

    /// Memory for `count` floats of any value, until the next call for the same purpose.
    func floats(_ purpose: Purpose, count: Int) -> UnsafeMutablePointer<Float> {
        if storages[purpose.rawValue].count < count {
            // The old memory goes first, or a growing workspace would need both.
            storages[purpose.rawValue] = Storage(count: 0)
            storages[purpose.rawValue] = Storage(count: count)
            growthCount += 1
        }
        return storages[purpose.rawValue].pointer
    }
}
