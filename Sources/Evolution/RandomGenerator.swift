import Basics

/// xoshiro256** with the integer, fraction and permutation draws of this module.
///
/// Its own generator rather than the standard library's, so that a run's numbers are part of its saved state and do
/// not change with the compiler. Blackman and Vigna, "Scrambled linear pseudorandom number generators",
/// ACM TOMS 47 (2021).
public struct RandomGenerator: Hashable, Codable, Sendable {
    private var s0: UInt64
    private var s1: UInt64
    private var s2: UInt64
    private var s3: UInt64

    /// Makes a generator whose state is filled from a seed by SplitMix64, as its authors advise.
    public init(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        s0 = generator.next()
        s1 = generator.next()
        s2 = generator.next()
        s3 = generator.next()
    }

    /// Goes on from a saved state; nil for four zeros, from which the generator would not move.
    init?(state: [UInt64]) {
        guard state.count == 4, state.contains(where: { $0 != 0 }) else { return nil }
        (s0, s1, s2, s3) = (state[0], state[1], state[2], state[3])
    }

    /// The four words that determine all that follows.
    var state: [UInt64] { [s0, s1, s2, s3] }

    /// Draws 64 random bits.
    public mutating func next() -> UInt64 {
        func rotate(_ value: UInt64, by count: UInt64) -> UInt64 { (value << count) | (value >> (64 - count)) }
        let result = rotate(s1 &* 5, by: 7) &* 9
        let shifted = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = rotate(s3, by: 45)
        return result
    }

    /// Draws an integer from 0 up to but not including a bound, without bias (Lemire 2019).
    ///
    /// - Precondition: `bound` is positive.
    public mutating func integer(below bound: Int) -> Int {
        precondition(bound > 0, "no integers below \(bound)")
        let bound = UInt64(bound)
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return Int(product.high)
    }

    /// Draws a number from 0 up to but not including 1, a multiple of 2^-53.
    public mutating func unit() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// Shuffles an array uniformly.
    public mutating func shuffle<Element>(_ elements: inout [Element]) {
        for last in stride(from: elements.count - 1, to: 0, by: -1) {
            elements.swapAt(last, integer(below: last + 1))
        }
    }

    /// Draws a permutation of the integers from 0 up to but not including a count.
    public mutating func permutation(of count: Int) -> [Int] {
        var order = Array(0..<count)
        shuffle(&order)
        return order
    }
}
