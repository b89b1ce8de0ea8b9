/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
///
/// Used wherever numbers must not depend on the machine or the version of the standard library: they decide which tasks
/// are recomputed, which schedules are timed and how ``RandomNumberGenerator``s with more state are seeded.
public struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    /// The first draw mixes `seed` plus the increment.
    public init(seed: UInt64) { state = seed }

    /// Draws 64 uniform bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// Draws a multiple of 2^-53 in [0, 1).
    public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
