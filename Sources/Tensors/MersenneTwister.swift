/// The 32-bit generator MT19937 (Matsumoto and Nishimura 1998), with the seeding that torch uses.
struct MersenneTwister: Sendable {
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
