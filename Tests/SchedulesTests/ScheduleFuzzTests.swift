import Basics
import TestSupport
import Testing

@testable import Schedules

/// Damaged schedule files are read or refused: no crash, no hang.
@Suite struct ScheduleFuzzTests {
    @Test func mutatedFilesAreReadOrRejectedInOneLine() throws {
        let shape = ScheduleShape.pixart(blocks: 2, steps: 3)
        let good = Array(ScheduleFile(schedule: Schedule(shape: shape, name: "x")).text.utf8)
        _ = try ScheduleFile(parsing: good, file: "x.json")
        var mutations = Mutations(seed: 17)
        let count = Mutations.count(otherwise: 1_000)
        var refused = 0
        for _ in 0..<count {
            let bytes = mutations.mutated([good], interesting: Array("{}[]\":,0123456789-truefalsn\\u".utf8))
            do { _ = try ScheduleFile(parsing: bytes, file: "x.json") } catch { refused += 1 }
        }
        #expect(refused > count / 4, "\(refused) of \(count) refused")
    }

    @Test func mutatedFrontsAreReadOrRejectedInOneLine() throws {
        let good = try [ScheduleShape.pixart(blocks: 2, steps: 3), .flux(fullBlocks: 1, singleBlocks: 2, steps: 2)].map
        {
            try CompactScheduleFileTests.front($0).bytes
        }
        var mutations = Mutations(seed: 19)
        let count = Mutations.count(otherwise: 1_000)
        var refused = 0
        for _ in 0..<count {
            var bytes = mutations.mutated(good)
            // Half of them with a checksum that fits, so that what stands before it is read.
            if Bool.random(using: &mutations) {
                bytes = CompactScheduleFileTests.sealed(bytes.dropLast(SHA256.byteCount))
            }
            do { _ = try CompactScheduleFile(parsing: bytes, file: "x.ecad") } catch {
                refused += 1
                #expect("\(error)".contains("x.ecad"), "\(error)")
            }
        }
        #expect(refused > count / 2, "\(refused) of \(count) refused")
    }
}
