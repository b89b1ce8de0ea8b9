import Glibc

/// Reproduces the stream of `torch.randn` (float32, CPU generator), so that a seed gives the same noise as in PyTorch.
///
/// The uniform draws are exact; logarithm and sine come from the local C library, so values agree to about one unit in
/// the last place. Follows aten/src/ATen/native/cpu/DistributionTemplates.h (`normal_fill`, `normal_distribution`).
public struct TorchNormal: Sendable {
    /// 2π in float32, rounded to nearest as in C; `Float.pi` is rounded towards zero.
    private static let fullTurn = Float(2 * Double.pi)

    private var generator: MersenneTwister
    /// The sine half of the last scalar draw, which the next scalar draw returns.
    private var spare: Double?

    /// The stream of `torch.Generator("cpu").manual_seed(seed)`.
    public init(seed: UInt64) {
        // PyTorch stores all 64 bits but seeds the generator with the lower half.
        generator = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
    }

    /// The values of one `torch.randn` call; further calls continue the stream.
    ///
    /// - Parameter count: The number of elements; PyTorch uses a different algorithm below 16.
    /// - Returns: Standard normal values in row-major order.
    public mutating func normal(count: Int) -> [Float] {
        guard count >= 16 else { return (0..<count).map { _ in Float(scalar()) } }
        var values = (0..<count).map { _ in uniform() }
        for start in stride(from: 0, through: count - 16, by: 16) { transform(&values, at: start) }
        if count % 16 != 0 {
            // The last sixteen are drawn again and overwrite the end of the last whole block.
            for index in (count - 16)..<count { values[index] = uniform() }
            transform(&values, at: count - 16)
        }
        return values
    }

    private mutating func uniform() -> Float { Float(generator.draw() & 0xFF_FFFF) * 0x1p-24 }

    /// Box-Muller transform of sixteen uniform values: radii from the first eight, angles from the others.
    private func transform(_ values: inout [Float], at start: Int) {
        for index in start..<(start + 8) {
            let radius = Float(sqrt(-2 * log(Double(1 - values[index]))))
            let angle = Self.fullTurn * values[index + 8]
            values[index] = radius * Float(cos(Double(angle)))
            values[index + 8] = radius * Float(sin(Double(angle)))
        }
    }

    /// Box-Muller transform in double precision, two values at a time.
    private mutating func scalar() -> Double {
        if let value = spare {
            spare = nil
            return value
        }
        let angle = 2 * Double.pi * uniformDouble()
        let radius = sqrt(-2 * log1p(-uniformDouble()))
        spare = radius * sin(angle)
        return radius * cos(angle)
    }

    private mutating func uniformDouble() -> Double {
        let high = UInt64(generator.draw())
        let bits = high << 32 | UInt64(generator.draw())
        return Double(bits & (1 << 53 - 1)) * 0x1p-53
    }
}

/// The 32-bit generator MT19937 (Matsumoto and Nishimura 1998), seeded as in PyTorch.
private struct MersenneTwister: Sendable {
    private static let length = 624
    private static let middle = 397

    private var state: [UInt32]
    private var next = MersenneTwister.length

    init(seed: UInt32) {
        state = [seed]
        state.reserveCapacity(Self.length)
        for index in 1..<Self.length {
            let previous = state[index - 1]
            state.append(1_812_433_253 &* (previous ^ previous >> 30) &+ UInt32(index))
        }
    }

    mutating func draw() -> UInt32 {
        if next == Self.length { twist() }
        var value = state[next]
        next += 1
        value ^= value >> 11
        value ^= value << 7 & 0x9D2C_5680
        value ^= value << 15 & 0xEFC6_0000
        return value ^ value >> 18
    }

    private mutating func twist() {
        for index in 0..<Self.length {
            let following = state[(index + 1) % Self.length]
            let mixed = state[index] & 0x8000_0000 | following & 0x7FFF_FFFF
            let feedback: UInt32 = mixed & 1 == 0 ? 0 : 0x9908_B0DF
            state[index] = state[(index + Self.middle) % Self.length] ^ mixed >> 1 ^ feedback
        }
        next = 0
    }
}
