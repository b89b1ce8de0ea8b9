import Foundation
import JSON
import Schedules
import TestSupport
import Testing

@Suite struct ScheduleDocumentTests {
    static let model = "\(Fixtures.folder)/alpha-small/model"

    func file(_ name: String, metrics: JSONObject = [:], blocks: Int = 2) -> ScheduleFile {
        var file = ScheduleFile(
            schedule: Schedule(shape: .pixart(blocks: blocks, steps: 3), name: name), attributes: ["note": 3],
            configuration: ["height": 64])
        file.metrics = metrics
        return file
    }

    @Test func formatIsDetectedFromTheContent() throws {
        let folder = try TemporaryFolder()
        let published = file("one")
        let compact = try CompactScheduleFile(packing: [published, file("two")], provenance: "here")
        try ScheduleDocument.published(published).write(to: folder.file("a.ecad"))
        try ScheduleDocument.compact(compact).write(to: folder.file("b.json"))
        #expect(try ScheduleDocument(path: folder.file("a.ecad")) == .published(published))
        #expect(try ScheduleDocument(path: folder.file("b.json")) == .compact(compact))
        #expect(
            complaint { try ScheduleDocument(path: folder.file("none")) }
                .isOneLine(naming: folder.file("none"), "no such file"))
    }

    @Test func publishedFilesSurviveBeingPacked() throws {
        let published = file("one", metrics: ["total_macs": 5_000_000_000_000])
        let again = try CompactScheduleFile(packing: [published])
        #expect(again.costName == "macs")
        let files = ScheduleDocument.compact(again).files
        #expect(files.map(\.schedule) == [published.schedule])
        #expect(files[0].attributes == published.attributes)
        #expect(files[0].configuration == published.configuration)
        #expect(files[0].metrics["total_macs"]?.int == 5_000_000_000_000)
        #expect(try CompactScheduleFile(packing: files) == again)
    }

    @Test func measurementsKeepTheirNamesThroughBothFormats() throws {
        let measured = file(
            "m",
            metrics: [
                "cost": ["name": "latency", "value": .number("0.25")],
                "quality": ["name": "psnr", "value": .number("31.5")], "total_macs": 9,
            ])
        let compact = try CompactScheduleFile(packing: [measured, file("unmeasured")])
        #expect(compact.entries.map(\.cost) == [0.25, nil])
        #expect(compact.entries.map(\.quality) == [31.5, nil])
        #expect(compact.costName == "latency" && compact.qualityName == "psnr")
        #expect(try CompactScheduleFile(packing: ScheduleDocument.compact(compact).files) == compact)
        #expect(
            complaint { try CompactScheduleFile(packing: [measured, file("n", metrics: ["total_macs": 9])]) }
                .isOneLine(naming: "costs of the kinds latency and macs; expected one kind"))
    }

    @Test func oneOfSeveralMustBeChosen() throws {
        let document = ScheduleDocument.compact(try CompactScheduleFile(packing: [file("a"), file("b")]))
        #expect(try document.file(entry: 1, path: "f").schedule.name == "b")
        for (entry, found) in [
            (nil, "expected --entry"), (2, "--entry is 2; expected"), (-1, "--entry is -1; expected"),
        ] as [(Int?, String)] {
            #expect(
                complaint { try document.file(entry: entry, path: "f.ecad") }
                    .isOneLine(naming: "f.ecad: holds 2 schedules; \(found) 0 to 1"))
        }
        #expect(try ScheduleDocument.published(file("c")).file(entry: nil, path: "f").schedule.name == "c")
    }

    @Test func measurementsForOtherSettingsAreRejected() throws {
        let settings = try MeasurementSettings(modelFolder: Self.model, stepCount: 3)
        let other = try MeasurementSettings(modelFolder: Self.model, stepCount: 4)
        let compact = try CompactScheduleFile(packing: [file("a")], settings: settings)
        let document = ScheduleDocument.compact(compact)
        try document.check(settings, path: "f")
        #expect(
            complaint { try document.check(other, path: "f.ecad") }
                .isOneLine(naming: "f.ecad", "another model", "--force"))
        // Where nothing is said there is nothing to refuse.
        try ScheduleDocument.compact(try CompactScheduleFile(packing: [file("a")])).check(other, path: "f")
        let merged = try CompactScheduleFile(merging: [document, document])
        #expect(merged.settingsHash == settings.hash && merged.entries.count == 2)
        let different = ScheduleDocument.compact(try CompactScheduleFile(packing: [file("b")], settings: other))
        #expect(throws: SchedulesError.self) { try CompactScheduleFile(merging: [document, different]) }
        #expect(try CompactScheduleFile(merging: [document, .published(file("b"))]).settingsHash == nil)
    }

    @Test(.enabled(if: PublishedSchedules.arePresent))
    func everyPublishedScheduleSurvivesBeingPacked() throws {
        for published in try PublishedSchedules.all.get() {
            let compact = try CompactScheduleFile(packing: [published.file])
            let again = ScheduleDocument.compact(try CompactScheduleFile(parsing: compact.bytes, file: "f")).files[0]
            #expect(again.schedule == published.file.schedule, "\(published.path)")
            #expect(again.attributes == published.file.attributes)
            #expect(again.configuration == published.file.configuration)
            #expect(again.metrics["total_macs"] == published.file.metrics["total_macs"])
        }
    }
}
