import FoundationEssentials
import Messages
import SwiftProtobuf
import Testing

@Suite struct WorkerMessageTests {
    @Test(arguments: Samples.fromWorker.indices)
    func everyKindIsEncodedAndDecoded(index: Int) throws {
        let bytes = try WorkerMessage.encode(Samples.fromWorker[index])
        let decoded = try WorkerMessage.decode(bytes)
        // Compares descriptions, which contain every field, because NaN does not equal itself.
        #expect("\(decoded)" == "\(Samples.fromWorker[index])")
    }

    @Test func nonFiniteScoresAreDecodedUnchanged() throws {
        let body = try WorkerMessage.decode(WorkerMessage.encode(.taskResult(Samples.taskResult)))
        let scores = WorkerMessage.with { $0.body = body }.taskResult.images[0].scores
        #expect(scores["image-reward"]?.isNaN == true)
        #expect(scores["psnr"] == .infinity)
        #expect(scores["clip"] == 0.25)
    }

    @Test func absentFieldDiffersFromZero() throws {
        let heartbeat = Heartbeat.with { $0.taskID = 0 }
        #expect(try WorkerMessage.decode(WorkerMessage.encode(.heartbeat(heartbeat))) == .heartbeat(heartbeat))
        #expect(try WorkerMessage.decode(WorkerMessage.encode(.heartbeat(Heartbeat()))) != .heartbeat(heartbeat))
    }

    @Test func otherProtocolVersionIsReported() {
        let bytes = Samples.envelope(version: 3, [(3, [0xFF, 0xFF])])
        let error = #expect(throws: MessageError.self) { try WorkerMessage.decode(bytes) }
        #expect(error == .protocolVersion(speaker: .worker, found: 3, expected: 2))
        #expect("\(error!)".hasPrefix("worker uses protocol version 3, this coordinator uses 2"))
    }

    @Test func missingVersionIsReported() {
        #expect(throws: MessageError.noProtocolVersion(speaker: .worker)) { try WorkerMessage.decode([]) }
    }

    @Test func unknownKindIsReported() {
        #expect(throws: MessageError.missingBody(speaker: .worker)) {
            try WorkerMessage.decode(Samples.envelope(version: 2, [(15, [])]))
        }
    }

    @Test func unknownFieldsAreIgnored() throws {
        let bytes = Samples.envelope(version: 2, [(8, [0x0A, 1, UInt8(ascii: "x"), 0x7A, 2, 1, 2])])
        #expect(try WorkerMessage.decode(bytes) == .goodbye(.with { $0.reason = "x" }))
    }

    @Test func messageBeyondTheSizeLimitIsNeitherEncodedNorDecoded() throws {
        var limits = MessageLimits()
        limits.messageBytes = 20
        let body = WorkerMessage.Body.goodbye(.with { $0.reason = "a reason of some length" })
        let bytes = try WorkerMessage.encode(body)
        let expected = MessageError.tooLarge(speaker: .worker, bytes: bytes.count, limit: 20)
        #expect(throws: expected) { try WorkerMessage.encode(body, limits: limits) }
        #expect(throws: expected) { try WorkerMessage.decode(bytes, limits: limits) }
    }

    @Test func excessiveElementsAreRejectedBeforeDecoding() {
        // 2^19 rows of two bytes: one MiB.
        let rows = repeatElement([0x1A, 0x00] as [UInt8], count: 1 << 19).joined()
        let bytes = [0x08, 0x02, 6 << 3 | 2, 0x80, 0x80, 0x40] + rows
        #expect(
            throws: MessageError.field(name: "body", expected: "at most 100000 elements", found: "\(1 << 19)")
        ) { try WorkerMessage.decode(bytes) }
    }

    @Test func sessionIdOfAnotherLengthIsRejected() throws {
        var registration = Samples.registration
        registration.sessionID.removeLast()
        let bytes = try WorkerMessage.encode(.registration(registration))
        #expect(
            throws: MessageError.field(name: "registration.session_id", expected: "16 bytes", found: "15")
        ) { try WorkerMessage.decode(bytes) }
    }

    @Test func overlongTextIsRejectedInEveryField() throws {
        let fields = [
            \Registration.workerName, \.host, \.cpu, \.blas, \.engineVersion, \.modelHash,
        ]
        for field in fields {
            var registration = Samples.registration
            registration[keyPath: field] = String(repeating: "x", count: 16_384)
            _ = try WorkerMessage.decode(WorkerMessage.encode(.registration(registration)))
            registration[keyPath: field].append("x")
            let bytes = try WorkerMessage.encode(.registration(registration))
            #expect(throws: MessageError.self, "\(field)") { try WorkerMessage.decode(bytes) }
        }
    }

    @Test func tooManyScoresOfAnImageAreRejected() throws {
        var result = Samples.taskResult
        result.images[1].scores = Dictionary(uniqueKeysWithValues: (0..<65).map { ("\($0)", 0) })
        result.seal()
        let bytes = try WorkerMessage.encode(.taskResult(result))
        #expect(
            throws: MessageError.field(
                name: "task_result.images.scores", expected: "at most 64 scores", found: "65")
        ) { try WorkerMessage.decode(bytes) }
    }

    @Test func resultAlteredAfterSealingIsRejected() throws {
        var result = Samples.taskResult
        result.images[0].denoiseSeconds += 1
        let bytes = try WorkerMessage.encode(.taskResult(result))
        let error = #expect(throws: MessageError.self) { try WorkerMessage.decode(bytes) }
        #expect(
            error
                == .checksum(taskID: 7, expected: Samples.taskResult.checksum, found: result.contentChecksum))
    }
}
