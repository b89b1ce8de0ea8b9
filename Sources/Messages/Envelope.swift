import SwiftProtobuf

/// The protocol this release speaks; see the head of Messages.proto for when it is raised.
package let protocolVersion: UInt32 = 2

/// What both envelopes have in common, so that versions and bounds are checked in one place.
protocol Envelope: SwiftProtobuf.Message {
    associatedtype Body

    static var speaker: Speaker { get }

    var protocolVersion: UInt32 { get set }
    var body: Body? { get set }

    /// Tells whether every field is within what the protocol allows.
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

    /// The version and, from a coordinator, the refusal: all that is safe to read before the version is known.
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
        guard let body = envelope.body else { throw .noBody(speaker: speaker) }
        try validate(body, limits)
        return body
    }

    private static func parse<M: SwiftProtobuf.Message>(_ bytes: [UInt8]) throws(MessageError) -> M {
        var options = BinaryDecodingOptions()
        options.messageDepthLimit = 8
        // A later release may add fields; keeping them would only cost memory.
        options.discardUnknownFields = true
        do {
            return try M(serializedBytes: bytes, options: options)
        } catch {
            throw .malformed(speaker: speaker, detail: "\(error)")
        }
    }
}
