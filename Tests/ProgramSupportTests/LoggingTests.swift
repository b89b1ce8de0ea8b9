import ArgumentParser
import Foundation
import Logging
import Testing

@testable import ProgramSupport

@Suite struct LoggingTests {
    private func line(
        _ format: LogOptions.Format, _ level: Logger.Level, _ message: String, handler: Logger.Metadata = [:],
        record: Logger.Metadata? = nil
    ) -> String {
        var handlerUnderTest = LineLogHandler(label: "ecad-worker", format: format)
        handlerUnderTest.metadata = handler
        let event = LogEvent(
            level: level, message: "\(message)", metadata: record, source: nil, file: "", function: "", line: 0)
        return handlerUnderTest.line(for: event, at: Date(timeIntervalSince1970: 1_000_000_000.25))
    }

    @Test func textStartsWithTheMessageAndEndsWithSortedMetadata() {
        #expect(line(.text, .info, "connected") == "ecad-worker: connected")
        #expect(
            line(.text, .debug, "result stored", handler: ["worker": "w 1"], record: ["task": "3", "lease": "2"])
                == "ecad-worker: result stored lease=2 task=3 worker=\"w 1\"")
    }

    @Test func textShowsTheLevelOfWarningsAndErrorsOnly() {
        #expect(line(.text, .notice, "finished") == "ecad-worker: finished")
        #expect(line(.text, .warning, "no connection") == "ecad-worker: warning: no connection")
        #expect(line(.text, .error, "refused") == "ecad-worker: error: refused")
    }

    @Test func everyRecordIsOneLine() {
        for format in LogOptions.Format.allCases {
            #expect(!line(format, .error, "first\nsecond", record: ["key": "a\nb"]).contains("\n"), "\(format)")
        }
    }

    @Test func controlCharactersAreEscaped() {
        let hostile = "\u{1B}[2J\u{202E}x\u{9B}"
        #expect(
            line(.text, .info, hostile, record: ["key": "\(hostile)"])
                == "ecad-worker: \\u{1b}[2J\\u{202e}x\\u{9b} key=\\u{1b}[2J\\u{202e}x\\u{9b}")
        #expect(!line(.json, .info, hostile).unicodeScalars.contains { $0.properties.generalCategory == .control })
    }

    @Test func metadataOfTheRecordOverridesThatOfTheLogger() {
        #expect(line(.text, .info, "m", handler: ["k": "old"], record: ["k": "new"]) == "ecad-worker: m k=new")
    }

    @Test func jsonHoldsTimeLevelProgramMessageAndMetadata() throws {
        let text = line(.json, .warning, "a \"quoted\"\tword \u{1}", record: ["task": "7"])
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["time"] as? String == "2001-09-09T01:46:40.250Z")
        #expect(object["level"] as? String == "warning")
        #expect(object["program"] as? String == "ecad-worker")
        #expect(object["message"] as? String == "a \"quoted\"\tword \u{1}")
        #expect(object["metadata"] as? [String: String] == ["task": "7"])
    }

    @Test func optionsSelectLevelAndFormat() throws {
        let defaults = try LogOptions.parse([])
        #expect(defaults.level == .info && defaults.format == .text)
        let options = try LogOptions.parse(["--log-level", "critical", "--log-format", "json"])
        #expect(options.level == .critical && options.format == .json)
        for level in Logger.Level.allCases {
            #expect(try LogOptions.parse(["--log-level", "\(level)"]).level == level)
        }
        #expect(throws: (any Error).self) { try LogOptions.parse(["--log-level", "loud"]) }
    }
}
