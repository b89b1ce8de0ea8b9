import Basics
import Foundation
import JSON
import Testing

@testable import Schedules

@Suite struct CompactScheduleFileTests {
    static func front(
        _ shape: ScheduleShape, count: Int = 3, settingsHash: String? = nil
    ) throws -> CompactScheduleFile {
        let entries = (0..<count).map { index in
            var schedule = randomSchedule(shape, gateStep: shape.isFlux || index != 1 ? nil : 2)
            schedule.name = "schedule \(index) é"
            let file = ScheduleFile(schedule: schedule, configuration: ["height": 256, "width": 512])
            return CompactScheduleFile.Entry(
                file, cost: index == 2 ? nil : 0.25 * Double(index + 1), quality: index == 0 ? nil : -1.5)
        }
        return try CompactScheduleFile(
            entries: entries, costName: "latency", qualityName: "psnr", provenance: "a test",
            settingsHash: settingsHash)
    }

    /// Bytes with the checksum that belongs to them.
    static func sealed(_ bytes: some Collection<UInt8>) -> [UInt8] { bytes + SHA256.digest(bytes) }

    func problem(_ bytes: [UInt8]) -> String {
        do {
            return "read \(try CompactScheduleFile(parsing: bytes, file: "f.ecad").entries.count)"
        } catch { return "\(error)" }
    }

    /// The message for a front with a byte replaced and the checksum made to fit.
    func problem(_ position: Int, _ value: UInt8, of file: CompactScheduleFile) -> String {
        var body = file.bytes.dropLast(SHA256.byteCount)
        body[position] = value
        return problem(Self.sealed(body))
    }

    @Test(arguments: ScheduleTests.shapes)
    func encodedValuesRoundTrip(_ shape: ScheduleShape) throws {
        for hash in [nil, String(repeating: "0f", count: 32)] {
            let file = try Self.front(shape, settingsHash: hash)
            #expect(try CompactScheduleFile(parsing: file.bytes, file: "f") == file)
        }
    }

    @Test func genesMayBeWiderThanABit() throws {
        let file = try Self.front(.pixart(blocks: 2, steps: 5))
        for bits in 1...8 {
            #expect(try CompactScheduleFile(parsing: file.encoded(bitsPerGene: bits), file: "f") == file)
        }
    }

    @Test func genesFollowTheDocumentedOrder() throws {
        var schedule = Schedule(shape: .pixart(blocks: 1, steps: 4), name: "ab")
        schedule[0] = .reuse
        schedule[9] = .reuse
        let file = try CompactScheduleFile(entries: [.init(ScheduleFile(schedule: schedule), cost: 0.5)])
        let bytes = file.bytes
        #expect(Array(bytes[0..<12]) == [0x89, 0x45, 0x43, 0x41, 0x44, 0x0D, 0x0A, 0x1A, 1, 0, 1, 0])
        #expect(Array(bytes[44..<56]) == [0, 0, 1, 0, 0, 0, 4, 0, 1, 0, 0, 0])
        #expect(Array(bytes[68..<78]) == [0, 0, 0, 0, 0, 0, 0, 0, 0xE0, 0x3F])
        #expect(Array(bytes[86..<92]) == [2, 0, 0, 0] + Array("ab".utf8))
        #expect(Array(bytes.dropLast(32).suffix(2)) == [0b1111_1110, 0b0000_1101])
    }

    @Test func compactFileOfAFrontOf72IsSmall() throws {
        let file = try Self.front(.pixart(), count: 72)
        #expect(file.bytes.count < 72 * (1680 / 8 + 220))
    }

    @Test func damagedAndForeignFilesAreRejected() throws {
        let bytes = try Self.front(.pixart(blocks: 2, steps: 3)).bytes
        #expect(problem([]) == "f.ecad: byte 0: not a compact schedule file")
        #expect(problem(Array("{}".utf8)).contains("not a compact"))
        for count in 0..<bytes.count { #expect(problem(Array(bytes[..<count])).hasPrefix("f.ecad: byte")) }
        for position in bytes.indices {
            var damaged = bytes
            damaged[position] ^= 0x10
            #expect(problem(damaged).hasPrefix("f.ecad: byte"))
        }
    }

    @Test func unknownVersionsValuesAndCountsAreRejectedByPosition() throws {
        let file = try Self.front(.pixart(blocks: 2, steps: 3))
        #expect(problem(8, 2, of: file) == "f.ecad: byte 8: expected version 1, found 2")
        #expect(problem(10, 0, of: file) == "f.ecad: byte 10: bits per gene: expected 1 to 8, found 0")
        #expect(problem(44, 2, of: file).contains("byte 44: the kind of blocks: expected 0 to 1, found 2"))
        #expect(problem(46, 0, of: file).contains("byte 46: the number of blocks: expected 1 to 1000, found 0"))
        #expect(problem(48, 1, of: file).contains("byte 48: the number of single-stream blocks"))
        #expect(problem(51, 255, of: file).contains("byte 50: the number of steps"))
        #expect(problem(52, 9, of: file).contains("the file ends within"))
        #expect(problem(52, 2, of: file).contains("more bytes after the last schedule"))
        #expect(problem(52, 0, of: file).contains("the number of schedules: expected 1 to"))
        #expect(problem(59, 255, of: file).contains("the file ends within the name of the cost"))
        #expect(problem(60, 255, of: file) == "f.ecad: byte 56: the name of the cost is not UTF-8")
    }

    @Test func unknownDecisionsAreRejected() throws {
        let schedule = Schedule(shape: .pixart(blocks: 1, steps: 1))
        let file = try CompactScheduleFile(entries: [.init(ScheduleFile(schedule: schedule))])
        var body = file.encoded(bitsPerGene: 2).dropLast(SHA256.byteCount)
        body[body.endIndex - 1] = 0b10_01_01
        #expect(problem(Self.sealed(body)).hasSuffix("gene 2: expected 0 or 1, found 2"))
        body[body.endIndex - 1] = 0b01_01_01_01
        #expect(problem(Self.sealed(body)).hasSuffix("bits set beyond the last gene"))
    }

    @Test func contradictoryGateStepsAreRejected() throws {
        var schedule = Schedule(shape: .pixart(blocks: 1, steps: 4), name: "")
        let plain = try CompactScheduleFile(entries: [.init(ScheduleFile(schedule: schedule))])
        #expect(problem(68, 2, of: plain).contains("gate step 2 differs from the one in the schedule's details"))
        schedule.gateStep = 3
        let gated = try CompactScheduleFile(entries: [.init(ScheduleFile(schedule: schedule))])
        #expect(problem(68, 2, of: gated).contains("gate step 2 differs"))
        #expect(problem(68, 3, of: gated) == "read 1")
    }

    @Test func hostileBytesNeverTrap() throws {
        var generator = SplitMix64(seed: 7)
        let files = try ScheduleTests.shapes.map { try Self.front($0, count: 2).bytes.dropLast(SHA256.byteCount) }
        var refused = 0
        for round in 0..<4000 {
            var body = Array(files[round % files.count])
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let position = Int.random(in: 8..<body.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: body[position] = UInt8.random(in: .min ... .max, using: &generator)
                case 1: body[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 2: body.removeSubrange(position..<min(body.count, position + 3))
                default: body.insert(0xFF, at: position)
                }
            }
            // The checksum is made to fit, or nothing behind it would be reached.
            do {
                let read = try CompactScheduleFile(parsing: Self.sealed(body), file: "f")
                #expect(try CompactScheduleFile(parsing: read.bytes, file: "f") == read)
            } catch { refused += 1 }
        }
        #expect(refused > 1000)
    }

    @Test func noSchedulesAndSeveralShapesAreRejected() throws {
        #expect(throws: SchedulesError.self) { try CompactScheduleFile(entries: []) }
        let entries = [2, 3].map {
            CompactScheduleFile.Entry(ScheduleFile(schedule: Schedule(shape: .pixart(blocks: $0, steps: 2))))
        }
        #expect(
            throws: SchedulesError.compactContents(
                problem: "schedules of 2 PixArt blocks x 2 steps and of 3 PixArt blocks x 2 steps; expected one shape")
        ) {
            try CompactScheduleFile(entries: entries)
        }
    }

    @Test func measurementsThatAreNotFiniteCountAsUnknown() {
        let file = ScheduleFile(schedule: Schedule(shape: .pixart(blocks: 1, steps: 1)))
        let entry = CompactScheduleFile.Entry(file, cost: .nan, quality: .infinity)
        #expect(entry.cost == nil && entry.quality == nil)
    }
}
