import Basics
import FoundationEssentials

extension Genome: CustomStringConvertible {
    /// The bits as `0` and `1` characters in published order.
    public var description: String {
        String(decoding: asciiBits, as: UTF8.self)
    }

    /// Makes a genome from a text of `0` and `1` characters.
    ///
    /// - Throws: ``SchedulesError/packedGenome(expected:found:)`` at any other character.
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
