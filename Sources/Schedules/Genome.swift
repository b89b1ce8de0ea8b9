import Basics
import FoundationEssentials

/// A schedule's decision vector in published bit order, packed; 1 means recompute.
public struct Genome: Hashable, Sendable {
    /// Number of bits.
    public let geneCount: Int
    /// The bits, packed least significant first; those beyond `geneCount` are 0.
    @usableFromInline private(set) var words: [UInt64]

    private static let wordBits = UInt64.bitWidth

    /// Makes a genome of equal bits.
    ///
    /// - Precondition: `count` is not negative.
    public init(repeating bit: Bool, count: Int) {
        precondition(count >= 0, "a negative number of genes")
        geneCount = count
        words = Array(repeating: 0, count: (count + Self.wordBits - 1) / Self.wordBits)
        if bit { fill(0..<count, with: true) }
    }

    /// Makes a genome from its bits.
    public init(_ bits: some Sequence<Bool>) {
        var words: [UInt64] = []
        var count = 0
        for bit in bits {
            if count % Self.wordBits == 0 { words.append(0) }
            if bit { words[count / Self.wordBits] |= 1 << UInt64(count % Self.wordBits) }
            count += 1
        }
        self.words = words
        geneCount = count
    }

    /// The bit of one gene.
    ///
    /// - Precondition: `index` lies in `0..<geneCount`.
    public subscript(index: Int) -> Bool {
        get {
            precondition(index >= 0 && index < geneCount, "gene \(index) of \(geneCount)")
            return words[index / Self.wordBits] >> UInt64(index % Self.wordBits) & 1 == 1
        }
        set {
            precondition(index >= 0 && index < geneCount, "gene \(index) of \(geneCount)")
            let mask: UInt64 = 1 << UInt64(index % Self.wordBits)
            if newValue { words[index / Self.wordBits] |= mask } else { words[index / Self.wordBits] &= ~mask }
        }
    }

    /// Number of genes that recompute.
    public var recomputeCount: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// Number of genes that differ from another genome's.
    ///
    /// - Precondition: Both have the same number of genes.
    public func hammingDistance(to other: Genome) -> Int {
        precondition(geneCount == other.geneCount, "genomes of \(geneCount) and \(other.geneCount) genes")
        return zip(words, other.words).reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
    }

    /// Calls `body` with the index of every gene that differs from another genome's, in ascending order.
    ///
    /// - Precondition: Both have the same number of genes.
    @inlinable
    public func forEachDifference(from other: Genome, _ body: (Int) -> Void) {
        precondition(geneCount == other.geneCount, "genomes of different lengths")
        for word in words.indices {
            var difference = words[word] ^ other.words[word]
            while difference != 0 {
                body(word * UInt64.bitWidth + difference.trailingZeroBitCount)
                difference &= difference - 1
            }
        }
    }

    /// Exchanges a segment of genes with another genome.
    ///
    /// - Precondition: Both have the same number of genes and the segment lies within.
    public mutating func exchange(_ segment: Range<Int>, with other: inout Genome) {
        precondition(geneCount == other.geneCount, "genomes of \(geneCount) and \(other.geneCount) genes")
        Self.forEachWord(of: segment, geneCount) { word, mask in
            let difference = (words[word] ^ other.words[word]) & mask
            words[word] ^= difference
            other.words[word] ^= difference
        }
    }

    /// Sets a segment of genes.
    ///
    /// - Precondition: The segment lies within the genome.
    public mutating func fill(_ segment: Range<Int>, with bit: Bool) {
        Self.forEachWord(of: segment, geneCount) { word, mask in
            if bit { words[word] |= mask } else { words[word] &= ~mask }
        }
    }

    /// Calls `body` with each word that a segment touches and the mask of the segment's bits in it.
    private static func forEachWord(of segment: Range<Int>, _ geneCount: Int, _ body: (Int, UInt64) -> Void) {
        precondition(segment.lowerBound >= 0 && segment.upperBound <= geneCount, "segment outside the genome")
        guard !segment.isEmpty else { return }
        let last = (segment.upperBound - 1) / wordBits
        for word in segment.lowerBound / wordBits...last {
            var mask = UInt64.max
            let start = word * wordBits
            if segment.lowerBound > start { mask &= .max << UInt64(segment.lowerBound - start) }
            if segment.upperBound < start + wordBits {
                mask &= .max >> UInt64(start + wordBits - segment.upperBound)
            }
            body(word, mask)
        }
    }
}

extension Genome {
    /// The bits packed into bytes, gene 0 in the lowest bit of the first; unused bits of the last are 0.
    public var bytes: [UInt8] {
        (0..<(geneCount + 7) / 8).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8)) }
    }

    /// Makes a genome from packed bytes.
    ///
    /// - Throws: ``SchedulesError/packedGenome(expected:found:)`` when the bytes are too few or too many for the
    ///   genes, or bits beyond the last gene are set.
    public init(bytes: some Collection<UInt8>, geneCount: Int) throws(SchedulesError) {
        let expected = "\(geneCount) genes in \((max(0, geneCount) + 7) / 8) bytes"
        guard geneCount >= 0, bytes.count == (geneCount + 7) / 8 else {
            throw .packedGenome(expected: expected, found: "\(bytes.count) bytes")
        }
        self.init(repeating: false, count: geneCount)
        for (position, byte) in bytes.enumerated() {
            words[position / 8] |= UInt64(byte) << UInt64(position % 8 * 8)
        }
        let used = geneCount % Self.wordBits
        if used > 0, let last = words.last, last >> UInt64(used) != 0 {
            throw .packedGenome(expected: expected, found: "bits set beyond the last gene")
        }
    }
}

extension Genome: CustomStringConvertible {
    /// The bits as `0` and `1` characters in published order.
    public var description: String {
        String(decoding: asciiBits, as: UTF8.self)
    }

    /// Makes a genome from a text of `0` and `1` characters.
    ///
    /// - Throws: ``SchedulesError/packedGenome(expected:found:)`` if the text contains any other character.
    public init(text: String) throws(SchedulesError) {
        var bits: [Bool] = []
        for character in text {
            guard character == "0" || character == "1" else {
                throw .packedGenome(expected: "the characters 0 and 1", found: "'\(character)'")
            }
            bits.append(character == "1")
        }
        self.init(bits)
    }

    /// SHA-256 of the text of `0` and `1` characters, as 64 lower-case hexadecimal digits.
    public var sha256: String { SHA256.digest(asciiBits).hexadecimal }

    private var asciiBits: [UInt8] {
        (0..<geneCount).map { self[$0] ? UInt8(ascii: "1") : UInt8(ascii: "0") }
    }
}

extension Genome: Codable {
    private enum CodingKeys: String, CodingKey {
        case geneCount, bytes
    }

    /// Writes the number of genes and the packed bytes.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(geneCount, forKey: .geneCount)
        try container.encode(Data(bytes), forKey: .bytes)
    }

    /// Reads the number of genes and the packed bytes.
    ///
    /// - Throws: ``SchedulesError/packedGenome(expected:found:)`` when they do not fit each other.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            bytes: container.decode(Data.self, forKey: .bytes),
            geneCount: container.decode(Int.self, forKey: .geneCount))
    }
}
