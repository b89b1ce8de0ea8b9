import Basics
import Foundation
import Testing

@testable import CoordinatorService
@testable import History

@Suite struct PrintingTests {
    private let result = QueryResult(
        columns: ["name", "value"],
        rows: [[.text("a, \"b\""), .real(1.5)], [.null, .integer(20)], [.text("p|q"), .blob([10, 255])]])

    @Test func frontsShowBothLatenciesAndQualitiesWithFourDigits() {
        func member(_ latency: Double, measured: Double?, _ quality: Double) -> FrontRecord {
            FrontRecord(
                candidateID: 7, generation: 2, speedup: 1 / latency, latencyRatio: latency, measuredRatio: measured,
                macs: 2_125_037_568, cost: latency, quality: quality, images: 8)
        }
        let modelled = FrontTable.text([member(0.3958, measured: 0.4186, 0.79432)])
        #expect(
            modelled == """
                candidate  generation  speed-up  latency  measured  GMACs  quality  images
                        7           2     2.53x    0.396     0.419   2.13   0.7943       8
                """)
        let measured = FrontTable.text([member(0.5, measured: 0.5, 34.4217), member(0.25, measured: 0.25, -1.5)])
        #expect(!measured.contains("measured") && measured.contains("  34.42  ") && measured.contains("  -1.50  "))
    }

    @Test func csvQuotesCommasAndQuotes() throws {
        #expect(TableFormat.csv.print(result) == "name,value\r\n\"a, \"\"b\"\"\",1.5\r\n,20\r\np|q,0aff\r\n")
    }

    @Test func jsonPreservesTypes() throws {
        let json = try JSONSerialization.jsonObject(with: Data(TableFormat.json.print(result).utf8)) as? [[String: Any]]
        #expect(json?.count == 3)
        #expect(json?[0]["name"] as? String == "a, \"b\"" && json?[0]["value"] as? Double == 1.5)
        #expect(json?[1]["name"] is NSNull && json?[1]["value"] as? Int == 20)
    }

    @Test func markdownEscapesBars() throws {
        #expect(TableFormat.markdown.print(result).contains("| p\\|q | 0aff |"))
    }

    @Test func lineBreaksStayInTheirCell() {
        let result = QueryResult(columns: ["prompt", "n"], rows: [[.text("a\nb\u{1B}[31m"), .integer(1)]])
        #expect(TableFormat.csv.print(result) == "prompt,n\r\n\"a\nb\u{1B}[31m\",1\r\n")
        #expect(TableFormat.markdown.print(result).hasSuffix("\n| a<br>b\\\\u{1b}[31m | 1 |\n"))
        #expect(TableFormat.table.print(result).split(separator: "\n").last == "a\\nb\\u{1b}[31m  1")
    }

    @Test func tablesShowFourSignificantDigitsUnlessAllAreRequested() {
        let values = [0.24123456789, 1_796_000_000.25, 12.3456789, -0.000012345678, 0.5, 123456.75]
        let result = QueryResult(columns: ["x"], rows: values.map { [.real($0)] } + [[.integer(123_456_789)]])
        func column(_ text: String) -> [String] {
            text.split(whereSeparator: \.isNewline).dropFirst().map { $0.filter { !" |".contains($0) } }
        }
        let short = ["0.2412", "1796000000", "12.35", "-1.235e-05", "0.5", "123457", "123456789"]
        #expect(column(TableFormat.table.print(result)) == short)
        #expect(column(TableFormat.markdown.print(result)) == ["---"] + short)
        let exact = values.map { "\($0)" } + ["123456789"]
        #expect(column(TableFormat.csv.print(result)) == exact)
        #expect(column(TableFormat.table.print(result, isExact: true)) == exact)
    }

    @Test func tablesAlignNumbersRight() throws {
        let numbers = QueryResult(
            columns: ["n", "text"], rows: [[.integer(5), .text("x")], [.integer(500), .text("yy")]])
        #expect(TableFormat.table.print(numbers) == "  n  text\n  5  x\n500  yy\n")
    }

    @Test func tablesAreCutToTheTerminalInColumnsOfTextOnly() {
        let result = QueryResult(
            columns: ["n", "prompt", "name"],
            rows: [
                [.integer(1_234_567), .text("a red fox in the snow at dawn"), .text("node-1")],
                [.integer(5), .text("short"), .text("node-2")],
            ])
        let lines = TableFormat.table.print(result, width: 36).split(separator: "\n")
        #expect(
            lines == [
                "      n  prompt               name", "1234567  a red fox in the s…  node-1",
                "      5  short                node-2",
            ])
        #expect(lines.allSatisfy { $0.count <= 36 })
        // Numbers are never cut, nor is text to less than eight characters.
        #expect(TableFormat.table.print(result, width: 3).contains("1234567  a red f…  node-1"))
        #expect(TableFormat.table.print(result, width: 80) == TableFormat.table.print(result))
        #expect(TableFormat.csv.print(result, width: 10) == TableFormat.csv.print(result))
    }

    @Test func progressLineShowsThroughputAndRemainingTime() {
        var line = ProgressLine()
        var state = ProgressLine.State()
        state.generations = 4
        state.evaluationsTotal = 40
        state.workers = 2
        #expect(line.text(state, at: 0).contains("-- left"))
        state.evaluationsDone = 10
        state.imagesDone = 80
        state.front = [(1.0, 50), (3.0, 20)]
        let text = line.text(state, at: 20)
        #expect(text.contains("generation 1/4") && text.contains("10/40 evaluated") && text.contains("4.0 images/s"))
        #expect(text.contains("2 workers") && text.contains("1m00s left"))
        #expect(text.hasSuffix("50.0 dB at 1.00x to 20.0 dB at 3.00x"))
        state.generations = nil
        state.budget = (spent: 1_151.5, limit: 2_000)
        #expect(line.text(state, at: 30).hasPrefix("generation 1, 1,152 of 2,000 images | 10/40 evaluated | "))
    }

    /// What is written beside a tick is where the tick is.
    @Test(arguments: [
        ([0.0, 14], ["0", "2.5", "5", "7.5", "10", "12.5", "15"]),
        ([0, 1.4], ["0", "0.25", "0.5", "0.75", "1", "1.25", "1.5"]),
        ([0.9451, 0.9456], ["0.9451", "0.9452", "0.9453", "0.9454", "0.9455", "0.9456"]),
        ([0, 6000], ["0", "1000", "2000", "3000", "4000", "5000", "6000"]),
        ([-2, 1], ["-2", "-1.5", "-1", "-0.5", "0", "0.5", "1"]),
    ])
    func labelsOfTicksAreTheirValues(values: [Double], expected: [String]) {
        let axis = Axis.linear(values, from: 0, to: 100)
        #expect(axis.ticks.map(axis.label) == expected)
    }

    @Test func svgIsWellFormedAndEscaped() throws {
        let points = [
            FrontPlot.Point(candidate: 1, speedup: 1.02, quality: 55, origin: "random", isOnFront: true),
            FrontPlot.Point(candidate: 2, speedup: 3.4, quality: 18, origin: "fora-3", isOnFront: true),
            FrontPlot.Point(candidate: 3, speedup: 2, quality: 18, origin: "a<b&c", isOnFront: false),
        ]
        let plot = FrontPlot(title: "<title> & more", qualityName: "PSNR", points: points).svg()
        let sheet = ContactSheetDrawing(
            title: "t & u", prompts: ["a < b and a long prompt of many words that must be wrapped"],
            rows: [
                ContactSheetDrawing.Row(
                    title: "2.03x", subtitle: "candidate 176, \(ScorerKind.imageRewardClipped.text(0.793))",
                    images: [[1, 2, 3]])
            ]
        ).svg()
        // A long subtitle is wrapped.
        #expect(sheet.contains(">candidate 176, Image</text>") && sheet.contains(">Reward, clipped 0.793</text>"))
        for svg in [plot, sheet] {
            #expect(XMLCheck.isWellFormed(svg))
            #expect(svg.contains("&amp;"))
        }
        let hostile = ContactSheetDrawing(
            title: "t",
            prompts: ["a\u{0}b \u{1B}[31m\u{FFFF}", "line one\nline two", String(repeating: "x", count: 50)],
            rows: []
        ).svg()
        #expect(XMLCheck.isWellFormed(hostile) && XMLCheck.hasOnlyCharactersOfXML(hostile))
        #expect(hostile.contains(">line one line two</text>") && !hostile.contains(String(repeating: "x", count: 23)))
        #expect(plot.components(separatedBy: "<circle class=\"member\"").count == 4, "two points and the legend")
        // A single point gives valid axes.
        #expect(XMLCheck.isWellFormed(FrontPlot(title: "", qualityName: "", points: Array(points.prefix(1))).svg()))
    }

    @Test func wrappedTextIsTruncatedWithAnEllipsis() {
        #expect(ContactSheetDrawing.wrapped("one two three four", columns: 7, lines: 2) == ["one two", "three …"])
    }
}

/// Checks that tags are nested and closed; ignores everything else.
private enum XMLCheck {
    /// The production `Char` of XML 1.0.
    static func hasOnlyCharactersOfXML(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            switch scalar.value {
            case 0x9, 0xA, 0xD, 0x20...0xD7FF, 0xE000...0xFFFD, 0x10000...0x10FFFF: true
            default: false
            }
        }
    }

    static func isWellFormed(_ text: String) -> Bool {
        var open: [Substring] = []
        for piece in text.split(separator: "<").dropFirst(text.hasPrefix("<") ? 0 : 1) {
            guard let end = piece.firstIndex(of: ">") else { return false }
            let tag = piece[..<end]
            if tag.hasPrefix("/") {
                guard open.popLast() == tag.dropFirst() else { return false }
            } else if !tag.hasSuffix("/") {
                open.append(tag.prefix { $0 != " " && $0 != "\n" })
            }
        }
        return open.isEmpty
    }
}
