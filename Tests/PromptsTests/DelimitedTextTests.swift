import Foundation
import TestSupport
import Testing

@testable import Prompts

@Suite struct DelimitedTextTests {
    /// A text and the records that Python's `csv.reader(strict=True)` reads; nil if it rejects the text.
    private struct Sample: Decodable {
        let separator, text: String
        let rows: [[String]]?

        init(from decoder: any Decoder) throws {
            var values = try decoder.unkeyedContainer()
            separator = try values.decode(String.self)
            text = try values.decode(String.self)
            rows = try values.decodeIfPresent([[String]].self)
        }
    }

    /// Written by `scripts/fixtures/make_csv.py`.
    @Test func recordsEqualThoseOfPython() throws {
        let data = try Data(contentsOf: URL(filePath: "\(Fixtures.folder)/prompts/csv.json"))
        let samples = try JSONDecoder().decode([Sample].self, from: data)
        #expect(samples.count >= 4000 && samples.contains { $0.rows == nil })
        for sample in samples {
            let records = try? DelimitedText.records(
                of: Array(sample.text.utf8), separator: sample.separator.utf8.first ?? 0,
                allowsQuotes: sample.separator == ",", file: "")
            #expect(records?.map(\.fields) == sample.rows, "\(sample.text.debugDescription)")
        }
    }

    @Test func recordsKnowTheirLines() throws {
        let records = try DelimitedText.records(
            of: Array("a\r\n\r\n\"b\n\"\rc".utf8), separator: UInt8(ascii: ","), allowsQuotes: true, file: "")
        #expect(records.map(\.line) == [1, 2, 3, 5])
    }
}
