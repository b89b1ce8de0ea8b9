import FoundationEssentials
import Messages
import SwiftProtobuf
import Testing

@Suite struct CoordinatorMessageTests {
    @Test(arguments: Samples.fromCoordinator.indices)
    func everyKindIsEncodedAndDecoded(index: Int) throws {
        let bytes = try CoordinatorMessage.encode(Samples.fromCoordinator[index])
        #expect(try CoordinatorMessage.decode(bytes) == Samples.fromCoordinator[index])
    }

    @Test func refusalsOfEveryProtocolVersionAreDecoded() throws {
        // Spelled out in bytes, because these field numbers must never change.
        let refusal: [UInt8] = [0x0A, 3] + Array("old".utf8) + [0x10, 1]
        let expected = CoordinatorMessage.Body.refusal(
            .with {
                $0.reason = "old"
                $0.retry = true
            })
        #expect(try CoordinatorMessage.decode(Samples.envelope(version: 2, [(2, refusal)])) == expected)
        #expect(try CoordinatorMessage.decode(Samples.envelope(version: 9, [(2, refusal)])) == expected)
        // A later version may add any other fields.
        let extended = Samples.envelope(version: 9, [(2, refusal), (3, [0xFF, 0xFF, 0xFF]), (14, [])])
        #expect(try CoordinatorMessage.decode(extended) == expected)
    }

    @Test func otherMessagesOfAnotherVersionAreErrors() {
        let error = #expect(throws: MessageError.self) {
            try CoordinatorMessage.decode(Samples.envelope(version: 3, [(6, [])]))
        }
        #expect(error == .protocolVersion(speaker: .coordinator, found: 3, expected: 2))
        #expect("\(error!)".hasPrefix("coordinator uses protocol version 3, this worker uses 2"))
    }

    @Test func assignmentWithoutAKindIsRejected() throws {
        var assignment = Samples.assignment
        assignment.kind = .unspecified
        try expectField("assignment.kind", .assignment(assignment))
        assignment.kind = .UNRECOGNIZED(7)
        try expectField("assignment.kind", .assignment(assignment))
    }

    @Test(arguments: [8, 17, UInt32.max])
    func geneCountMustMatchTheGenomesLength(geneCount: UInt32) throws {
        var assignment = Samples.assignment
        assignment.candidates[0].geneCount = geneCount
        try expectField("assignment.candidates.genome", .assignment(assignment))
    }

    @Test func promptBeyondTheTextLimitIsRejected() throws {
        var welcome = Samples.welcome
        welcome.prompts[0].text = String(repeating: "é", count: 8_193)
        try expectField("welcome.prompts.text", .welcome(welcome))
    }

    @Test func tooManyScorersAreRejected() throws {
        var welcome = Samples.welcome
        welcome.settings.scorers = (0..<65).map { "\($0)" }
        try expectField("welcome.settings.scorers", .welcome(welcome))
    }

    @Test(arguments: [0, 31, 33])
    func digestOfAnotherLengthIsRejected(_ count: Int) throws {
        var welcome = Samples.welcome
        welcome.embeddings.sha256 = Data(repeating: 1, count: count)
        try expectField("welcome.embeddings.sha256", .welcome(welcome))
        try expectField("blob_chunk.sha256", .blobChunk(.with { $0.sha256 = welcome.embeddings.sha256 }))
        let request = try WorkerMessage.encode(.blobRequest(.with { $0.sha256 = welcome.embeddings.sha256 }))
        #expect(throws: MessageError.self) { try WorkerMessage.decode(request) }
    }

    private func expectField(_ name: String, _ body: CoordinatorMessage.Body) throws {
        let bytes = try CoordinatorMessage.encode(body)
        let error = #expect(throws: MessageError.self) { try CoordinatorMessage.decode(bytes) }
        guard case .field(name, _, _) = error else {
            Issue.record("expected an error of field \(name), found \(String(describing: error))")
            return
        }
    }
}
