import Basics

/// Writes a search's state: integers of seven bits a byte, numbers in eight bytes, texts with their length.
struct StateWriter {
    private(set) var bytes: [UInt8] = []

    mutating func integer(_ value: Int) {
        precondition(value >= 0, "states hold no negative integers")
        Varint.append(UInt64(value), to: &bytes)
    }

    mutating func word(_ value: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) as StrideTo<UInt64> {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    mutating func single(_ value: Float) {
        for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift)) }
    }

    mutating func number(_ value: Double) { word(value.bitPattern) }

    mutating func blob(_ value: [UInt8]) {
        integer(value.count)
        bytes += value
    }

    mutating func text(_ value: String) { blob(Array(value.utf8)) }
}

/// Reads what ``StateWriter`` wrote; anything may be in the bytes.
struct StateReader {
    private var bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    var isAtEnd: Bool { bytes.isEmpty }

    mutating func integer(_ name: String, in range: ClosedRange<Int> = 0...Int.max) throws(EvolutionError) -> Int {
        var position = bytes.startIndex
        let value = Varint.decode(bytes, at: &position, end: bytes.endIndex)
        guard value != nil || position < bytes.endIndex else { throw .state(problem: "it ends before \(name)") }
        bytes = bytes[position...]
        guard let value, let integer = Int(exactly: value), range.contains(integer) else {
            throw .state(problem: "\(name) is out of range")
        }
        return integer
    }

    mutating func word(_ name: String) throws(EvolutionError) -> UInt64 {
        guard bytes.count >= 8 else { throw .state(problem: "it ends before \(name)") }
        defer { bytes = bytes.dropFirst(8) }
        return bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func single(_ name: String) throws(EvolutionError) -> Float {
        guard bytes.count >= 4 else { throw .state(problem: "it ends before \(name)") }
        defer { bytes = bytes.dropFirst(4) }
        return Float(bitPattern: bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) })
    }

    mutating func number(_ name: String) throws(EvolutionError) -> Double { Double(bitPattern: try word(name)) }

    mutating func blob(_ name: String) throws(EvolutionError) -> [UInt8] {
        let count = try integer(name)
        guard count <= bytes.count else { throw .state(problem: "it ends before \(name)") }
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    mutating func text(_ name: String) throws(EvolutionError) -> String {
        String(decoding: try blob(name), as: UTF8.self)
    }

    /// A list; a damaged length cannot ask for more elements than there are bytes.
    mutating func list<Element>(
        _ name: String, _ element: (inout StateReader) throws(EvolutionError) -> Element
    ) throws(EvolutionError) -> [Element] {
        let count = try integer(name, in: 0...bytes.count)
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for _ in 0..<count { elements.append(try element(&self)) }
        return elements
    }
}
