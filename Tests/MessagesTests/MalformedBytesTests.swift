import Basics
import Messages
import Testing

/// Invalid bytes result in errors; a trap would end the test process.
@Suite struct MalformedBytesTests {
    @Test func errorDescribesTheDefect() {
        let defects: [(fields: [UInt8], detail: String)] = [
            ([0x42, 5, 1], "truncated"),
            ([0x42, 2, 0x0A, 9], "truncated field"),
            ([0x42, 1, 0x0B], "wire type 3 is not used by this protocol"),
            ([0x42, 3, 0x0A, 1, 0xFF], "invalidUTF8"),
        ]
        for (fields, detail) in defects {
            let error = #expect(throws: MessageError.self) { try WorkerMessage.decode([0x08, 0x02] + fields) }
            #expect(error?.description == "message from the worker cannot be read: \(detail)")
        }
    }

    @Test func randomBytesAreRejected() {
        var generator = SplitMix64(seed: 1)
        var accepted = 0
        for _ in 0..<40_000 {
            let bytes = (0..<Int.random(in: 0...64, using: &generator)).map { _ in generator.byte() }
            // Half of them have a valid version and reach the body.
            let message = Bool.random(using: &generator) ? bytes : [0x08, 0x02] + bytes
            if (try? WorkerMessage.decode(message)) != nil { accepted += 1 }
            if (try? CoordinatorMessage.decode(message)) != nil { accepted += 1 }
        }
        // Short messages such as an empty request occur by chance.
        #expect(accepted < 800)
    }

    @Test func damagedMessagesAreDecodedOrRejected() throws {
        var generator = SplitMix64(seed: 2)
        let worker = try Samples.fromWorker.map { body throws(MessageError) in try WorkerMessage.encode(body) }
        let coordinator = try Samples.fromCoordinator.map { body throws(MessageError) in
            try CoordinatorMessage.encode(body)
        }
        var rejected = 0
        for round in 0..<15_000 {
            var bytes = worker[round % worker.count]
            generator.damage(&bytes)
            if (try? WorkerMessage.decode(bytes)) == nil { rejected += 1 }
            bytes = coordinator[round % coordinator.count]
            generator.damage(&bytes)
            if (try? CoordinatorMessage.decode(bytes)) == nil { rejected += 1 }
        }
        #expect(rejected > 7_500)
    }

    @Test func everyBitFlipInAResultIsDetected() throws {
        let sent = Samples.taskResult
        let bytes = try WorkerMessage.encode(.taskResult(sent))
        for position in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[position] ^= 1 << UInt8(bit)
                guard case .taskResult(let read) = try? WorkerMessage.decode(damaged) else { continue }
                // A bit flip may only affect bytes that do not change the decoded content.
                #expect(read.contentChecksum == sent.contentChecksum, "byte \(position) bit \(bit)")
            }
        }
    }

    @Test func everyTruncationIsRejected() throws {
        for body in Samples.fromWorker {
            let bytes = try WorkerMessage.encode(body)
            for count in 0..<bytes.count {
                #expect((try? WorkerMessage.decode(Array(bytes.prefix(count)))) == nil, "\(count) bytes of \(body)")
            }
        }
    }
}

extension SplitMix64 {
    fileprivate mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }

    /// Changes, inserts, removes or repeats up to four times.
    fileprivate mutating func damage(_ bytes: inout [UInt8]) {
        for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
            let position = Int.random(in: bytes.indices, using: &self)
            switch Int.random(in: 0..<5, using: &self) {
            case 0: bytes[position] = byte()
            case 1: bytes[position] ^= 1 << (byte() & 7)
            case 2: bytes.insert(byte(), at: position)
            case 3: bytes.removeSubrange(position...)
            default: bytes.insert(contentsOf: bytes[..<position], at: position)
            }
        }
    }
}
