import Basics
import Foundation

/// xoshiro256**, with its own integer, fraction and permutation draws.
///
/// Unlike the standard library's generator it can be saved, and its numbers do not depend on the compiler. Blackman and Vigna, "Scrambled linear pseudorandom number generators",
/// ACM TOMS 47 (2021).
public struct RandomGenerator: Hashable, Sendable {
    private var s0: UInt64
    private var s1: UInt64
    private var s2: UInt64
    private var s3: UInt64

    /// Fills the state from a seed with SplitMix64, as the authors recommend.
    public init(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        s0 = generator.next()
        s1 = generator.next()
        s2 = generator.next()
        s3 = generator.next()
    }

    /// Restores a saved state; nil unless it is four words, one of them nonzero.
    init?(state: [UInt64]) {
        guard state.count == 4, state.contains(where: { $0 != 0 }) else { return nil }
        (s0, s1, s2, s3) = (state[0], state[1], state[2], state[3])
    }

    /// The four words of the state.
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

    /// Draws an integer in `0..<bound` without bias (Lemire 2019).
    ///
    /// - Precondition: `bound` is positive.
    public mutating func integer(below bound: Int) -> Int {
        precondition(bound > 0, "bound is \(bound); expected at least 1")
        let bound = UInt64(bound)
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return Int(product.high)
    }

    /// Draws a multiple of 2^-53 in `0..<1`.
    public mutating func unit() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// Draws from the standard normal distribution (Box and Muller 1958).
    public mutating func normal() -> Double {
        let (u, v) = (1 - unit(), unit())
        return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
    }

    /// Shuffles an array in place (Fisher-Yates).
    public mutating func shuffle<Element>(_ elements: inout [Element]) {
        for last in stride(from: elements.count - 1, to: 0, by: -1) {
            elements.swapAt(last, integer(below: last + 1))
        }
    }

    /// Draws a permutation of `0..<count`.
    public mutating func permutation(of count: Int) -> [Int] {
        var order = Array(0..<count)
        shuffle(&order)
        return order
    }
}
