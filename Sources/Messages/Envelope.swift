import FoundationEssentials
import SwiftProtobuf

/// The protocol version of this release; Messages.proto explains when it is raised.
package let protocolVersion: UInt32 = 2

/// The common interface of both envelopes: version and limits are checked in one place.
protocol Envelope: SwiftProtobuf.Message {
    associatedtype Body

    static var speaker: Speaker { get }

    var protocolVersion: UInt32 { get set }
    var body: Body? { get set }

    /// Checks that every field is within the limits of the protocol.
    static func validate(_ body: Body, _ limits: MessageLimits) throws(MessageError)
}

extension Envelope {
    static func encodeEnvelope(_ body: Body, _ limits: MessageLimits) throws(MessageError) -> [UInt8] {
        var envelope = Self()
        envelope.protocolVersion = Messages.protocolVersion
        envelope.body = body
        let bytes: [UInt8]
        do {
            bytes = try envelope.serializedBytes()
        } catch {
            throw .malformed(speaker: speaker, detail: "\(error)")
        }
        guard bytes.count <= limits.messageBytes else {
            throw .tooLarge(speaker: speaker, bytes: bytes.count, limit: limits.messageBytes)
        }
        return bytes
    }

    /// The version and, from a coordinator, the refusal: the fields that every protocol version shares.
    static func preamble(of bytes: [UInt8], _ limits: MessageLimits) throws(MessageError) -> Preamble {
        guard bytes.count <= limits.messageBytes else {
            throw .tooLarge(speaker: speaker, bytes: bytes.count, limit: limits.messageBytes)
        }
        let preamble: Preamble = try parse(bytes)
        guard preamble.protocolVersion != 0 else { throw .noProtocolVersion(speaker: speaker) }
        return preamble
    }

    static func decodeBody(of bytes: [UInt8], _ limits: MessageLimits) throws(MessageError) -> Body {
        let elements: Int
        do {
            elements = try WireScan.countBodyFields(of: bytes)
        } catch {
            throw .malformed(speaker: speaker, detail: "\(error)")
        }
        guard elements <= limits.elements else {
            throw .field(name: "body", expected: "at most \(limits.elements) elements", found: "\(elements)")
        }
        let envelope: Self = try parse(bytes)
        guard let body = envelope.body else { throw .missingBody(speaker: speaker) }
        try validate(body, limits)
        return body
    }

    private static func parse<M: SwiftProtobuf.Message>(_ bytes: [UInt8]) throws(MessageError) -> M {
        var options = BinaryDecodingOptions()
        options.messageDepthLimit = 8
        // Fields of later releases are ignored; storing them would only cost memory.
        options.discardUnknownFields = true
        do {
            return try M(serializedBytes: bytes, options: options)
        } catch {
            throw .malformed(speaker: speaker, detail: "\(error)")
        }
    }
}

/// Limits on messages, so that no peer can exhaust the receiver's memory.
///
/// They are far above the needs of any run; a larger message is a bug or an attack.
package struct MessageLimits: Sendable {
    /// Encoded size of one message; the largest are results with images.
    package var messageBytes = 64 << 20
    /// Fields in the body of a message: images of a result, prompts of a run, candidates and items of a task.
    package var elements = 100_000
    /// UTF-8 length of a text field.
    package var textBytes = 16_384
    /// Length of one packed genome.
    package var genomeBytes = 65_536
    /// Scorers of a run, and scores of one image.
    package var scorers = 64
    /// Values in a canary.
    package var canaryValues = 4_096

    /// The limits that both programs use.
    package static let standard = MessageLimits()

    private static let digestByteCount = 32

    package init() {}

    func check(text: String, _ name: String) throws(MessageError) {
        guard text.utf8.count <= textBytes else {
            throw .field(name: name, expected: "at most \(textBytes) bytes of text", found: "\(text.utf8.count)")
        }
    }

    /// Checks the length of a SHA-256 digest.
    func check(digest: Data, _ name: String) throws(MessageError) {
        guard digest.count == Self.digestByteCount else {
            throw .field(name: name, expected: "\(Self.digestByteCount) bytes", found: "\(digest.count)")
        }
    }
}

/// CRC-32 as in zlib, PNG and IEEE 802.3 (reflected polynomial `0xEDB88320`).
struct CRC32 {
    private var state: UInt32 = .max

    /// The checksum of all bytes so far.
    var value: UInt32 { ~state }

    mutating func update(bytes: some Sequence<UInt8>) {
        for byte in bytes {
            state = Self.table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ (state >> 8)
        }
    }

    /// Adds a number as eight little-endian bytes.
    mutating func update(_ number: some FixedWidthInteger) {
        let word = UInt64(truncatingIfNeeded: number)
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            let byte = UInt8(truncatingIfNeeded: word >> shift)
            state = Self.table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ (state >> 8)
        }
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { remainder, _ in
            remainder & 1 == 1 ? 0xEDB8_8320 ^ (remainder >> 1) : remainder >> 1
        }
    }
}
