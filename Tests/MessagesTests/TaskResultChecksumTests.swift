import FoundationEssentials
import SwiftProtobuf
import Testing

@testable import Messages

@Suite struct TaskResultChecksumTests {
    @Test func checksumEqualsThatOfZlib() {
        var crc = CRC32()
        crc.update(bytes: Array("123456789".utf8))
        #expect(crc.value == 0xCBF4_3926)
    }

    @Test func numbersAreHashedAsLittleEndianBytes() {
        var number = CRC32()
        number.update(0x0102_0304_0506_0708)
        var bytes = CRC32()
        bytes.update(bytes: [8, 7, 6, 5, 4, 3, 2, 1])
        #expect(number.value == bytes.value)
    }

    @Test func knownResultHasItsKnownChecksum() {
        // Python: zlib.crc32(struct.pack("<qqdq", 7, 3, 1.5, 1) + struct.pack("<qqqddqqq", 41, 5, -9, 3.5, 0.5, 0, 1,
        // 4)
        //     + b"clip" + struct.pack("<dq", 0.25, 0))
        let result = TaskResult.with {
            $0.taskID = 7
            $0.leaseEpoch = 3
            $0.taskSeconds = 1.5
            $0.images = [
                .with {
                    $0.candidateID = 41
                    $0.promptIndex = 5
                    $0.seed = -9
                    $0.denoiseSeconds = 3.5
                    $0.decodeSeconds = 0.5
                    $0.scores = ["clip": 0.25]
                }
            ]
        }
        #expect(result.contentChecksum == 0x4A44_B922)
    }

    @Test func everyFieldAffectsTheChecksum() {
        let changes: [(String, (inout TaskResult) -> Void)] = [
            ("task", { $0.taskID += 1 }),
            ("epoch", { $0.leaseEpoch += 1 }),
            ("seconds", { $0.taskSeconds += 1 }),
            ("images", { $0.images.removeLast() }),
            ("candidate", { $0.images[0].candidateID += 1 }),
            ("prompt", { $0.images[0].promptIndex += 1 }),
            ("seed", { $0.images[0].seed += 1 }),
            ("denoise", { $0.images[0].denoiseSeconds += 1 }),
            ("decode", { $0.images[0].decodeSeconds += 1 }),
            ("reference", { $0.images[0].referenceSeconds += 1 }),
            ("no reference", { $0.images[0].clearReferenceSeconds() }),
            ("score", { $0.images[0].scores["clip"] = 0.5 }),
            ("scorer", { $0.images[0].scores["clip"] = nil }),
            ("png", { $0.images[0].png.append(0) }),
            ("no png", { $0.images[0].clearPng() }),
            ("reference png", { $0.images[0].referencePng = Data([1]) }),
        ]
        let original = Samples.taskResult.contentChecksum
        for (name, change) in changes {
            var result = Samples.taskResult
            change(&result)
            #expect(result.contentChecksum != original, "\(name)")
        }
    }

    @Test func insertionOrderOfScoresDoesNotAffectTheChecksum() {
        let names = (0..<50).map { "scorer \($0)" }
        var forwards = TaskResult.with { $0.images = [ImageMeasurement()] }
        var backwards = forwards
        for name in names { forwards.images[0].scores[name] = 1 }
        backwards.images[0].scores.reserveCapacity(1_000)
        for name in names.reversed() { backwards.images[0].scores[name] = 1 }
        #expect(forwards.contentChecksum == backwards.contentChecksum)
    }
}
