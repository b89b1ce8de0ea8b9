import Basics
import Foundation

/// Reproducible mutations of valid input for fuzz tests.
///
/// `ECAD_FUZZ_COUNT` sets their number; scripts/fuzz.sh runs millions.
public struct Mutations: RandomNumberGenerator {
    /// The number of inputs for a fuzz test.
    public static func count(otherwise defaultCount: Int) -> Int {
        ProcessInfo.processInfo.environment["ECAD_FUZZ_COUNT"].flatMap { Int($0) } ?? defaultCount
    }

    private var generator: SplitMix64

    /// The same seed gives the same mutations.
    public init(seed: UInt64) { generator = SplitMix64(seed: seed) }

    /// Draws 64 bits.
    public mutating func next() -> UInt64 { generator.next() }

    /// A mutated copy of one of the samples, or random bytes with probability 1/8.
    public mutating func mutated(_ samples: [[UInt8]], interesting: [UInt8] = []) -> [UInt8] {
        if Int.random(in: 0..<8, using: &self) == 0 {
            return (0..<Int.random(in: 0...96, using: &self)).map { _ in byte(interesting) }
        }
        var bytes = samples[Int.random(in: samples.indices, using: &self)]
        for _ in 0..<Int.random(in: 1...5, using: &self) where !bytes.isEmpty {
            let position = Int.random(in: bytes.indices, using: &self)
            switch Int.random(in: 0..<7, using: &self) {
            case 0: bytes[position] = byte(interesting)
            case 1: bytes[position] ^= 1 << UInt8(next() & 7)
            case 2: bytes.insert(byte(interesting), at: position)
            case 3: bytes.removeSubrange(position...)
            case 4: bytes.remove(at: position)
            case 5:
                let end = min(bytes.count, position + Int.random(in: 1...16, using: &self))
                bytes.insert(contentsOf: bytes[position..<end], at: position)
            default:
                let other = samples[Int.random(in: samples.indices, using: &self)]
                guard !other.isEmpty else { continue }
                let start = Int.random(in: other.indices, using: &self)
                bytes.replaceSubrange(position..., with: other[start...])
            }
        }
        return bytes
    }

    private mutating func byte(_ interesting: [UInt8]) -> UInt8 {
        guard !interesting.isEmpty, Bool.random(using: &self) else { return UInt8(truncatingIfNeeded: next()) }
        return interesting[Int.random(in: interesting.indices, using: &self)]
    }
}
