import Glibc

/// The stream of `torch.randn` in float32 on a CPU generator, so that a seed gives the image it gives there.
///
/// The uniform draws are torch's exactly; logarithm and sine are this machine's, so values agree to about one unit in
/// the last place. After aten/src/ATen/native/cpu/DistributionTemplates.h (`normal_fill`, `normal_distribution`).
public struct TorchNormal: Sendable {
    /// 2π in float32, rounded to nearest as in C; Float.pi is rounded towards zero.
    private static let fullTurn = Float(2 * Double.pi)

    private var generator: MersenneTwister
    /// The sine half of the last scalar draw, which the next scalar draw returns.
    private var spare: Double?

    /// A stream like that of `torch.Generator("cpu").manual_seed(seed)`.
    public init(seed: UInt64) {
        // torch keeps all 64 bits but seeds the generator with the lower half.
        generator = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
    }

    /// The numbers of one `torch.randn` call; further calls continue the stream.
    ///
    /// - Parameter count: How many; torch draws fewer than 16 numbers in another way than 16 or more.
    /// - Returns: Standard normal numbers in row-major order of whatever shape was asked.
    public mutating func normal(count: Int) -> [Float] {
        guard count >= 16 else { return (0..<count).map { _ in Float(scalar()) } }
        var values = (0..<count).map { _ in uniform() }
        for start in stride(from: 0, through: count - 16, by: 16) { transform(&values, at: start) }
        if count % 16 != 0 {
            // The last sixteen are drawn anew, over the end of the last whole block.
            for index in (count - 16)..<count { values[index] = uniform() }
            transform(&values, at: count - 16)
        }
        return values
    }

    private mutating func uniform() -> Float { Float(generator.draw() & 0xFF_FFFF) * 0x1p-24 }

    /// Box-Muller over sixteen uniforms: radii from the first eight, angles from the others.
    private func transform(_ values: inout [Float], at start: Int) {
        for index in start..<(start + 8) {
            let radius = Float(sqrt(-2 * log(Double(1 - values[index]))))
            let angle = Self.fullTurn * values[index + 8]
            values[index] = radius * Float(cos(Double(angle)))
            values[index + 8] = radius * Float(sin(Double(angle)))
        }
    }

    /// Box-Muller in double precision, two numbers at a time.
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
