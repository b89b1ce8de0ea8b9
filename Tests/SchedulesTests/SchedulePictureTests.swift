import ModelConfiguration
import Schedules
import Testing

@Suite struct SchedulePictureTests {
    static let toy: Schedule = {
        var schedule = Schedule(shape: .pixart(blocks: 3, steps: 6), name: "toy <&\u{1B}>")
        schedule[step: 1, block: 0, component: .attn1] = .reuse
        schedule[step: 2, block: 1, component: .attn1] = .reuse
        schedule[step: 3, block: 0, component: .attn1] = .reuse
        schedule[step: 3, block: 1, component: .attn1] = .reuse
        return schedule
    }()

    @Test func everyGeneHasItsHalfBlock() {
        let text = SchedulePicture(Self.toy).text(columns: 20)
        #expect(
            text.hasPrefix(
                """
                toy <&\\u{1b}>: 3 PixArt blocks x 6 steps, 93% recomputed
                filled: recompute, empty: reuse; columns: steps, rows: blocks

                    attn1 78%
                    0    5
                   ┌──────┐
                  0│█▄▀ ██│
                  2│▀▀▀▀▀▀│
                   └──────┘

                    attn2 100%
                """))
    }

    @Test func panelsStandSideBySideWhereTheyFit() {
        for shape in [ScheduleShape.pixart(), .flux()] {
            let lines = SchedulePicture(randomSchedule(shape)).text().split(separator: "\n")
            #expect(lines.dropFirst(2).allSatisfy { $0.count <= 80 })
            #expect(lines.contains { $0.count { $0 == "┌" } == 3 })
        }
        #expect(!SchedulePicture(randomSchedule(.pixart(steps: 50))).text().contains("┐ "))
    }

    @Test func pictureShowsEveryDecision() throws {
        // Steps and blocks of a panel read back from the half blocks.
        let shape = ScheduleShape.pixart(blocks: 5, steps: 7)
        let schedule = randomSchedule(shape)
        let lines = SchedulePicture(schedule).text(columns: 1).split(separator: "\n").filter { $0.contains("│") }
        #expect(lines.count == 9)
        for (line, text) in lines.enumerated() {
            let cells = Array(text.split(separator: "│", omittingEmptySubsequences: false)[1])
            try #require(cells.count == 7)
            let component = BlockKind.pixart.components[line / 3]
            for (step, cell) in cells.enumerated() {
                for (block, filled) in [(line % 3 * 2, "█▀"), (line % 3 * 2 + 1, "█▄")] where block < 5 {
                    let recomputes = schedule[step: step, block: block, component: component] == .recompute
                    #expect(filled.contains(cell) == recomputes)
                }
            }
        }
    }

    @Test func svgHasARectangleForEveryRunAndEscapesNames() {
        let svg = SchedulePicture(Self.toy).svg
        // Background and two of the legend, then the runs of every row: reuse interrupts attn1's first two.
        let runs = (5 + 3 + 1) + 3 + 3
        #expect(svg.split(separator: "<rect").count - 1 == 3 + runs)
        #expect(svg.contains("toy &lt;&amp;\u{FFFD}&gt;:"))
        #expect(!svg.contains("\u{1B}"))
        #expect(!svg.contains("<line"))
        #expect(SchedulePicture(Schedule(shape: .pixart(), gateStep: 5)).svg.contains("<line"))
    }

    @Test func pixelsHaveTheColoursOfTheDecisions() throws {
        let picture = try SchedulePicture(Self.toy).pixels()
        #expect(picture.values.count == picture.width * picture.height * 3)
        func colour(step: Int, block: Int) -> [UInt8] {
            let first = ((100 + block * 12 + 6) * picture.width + 44 + step * 12 + 6) * 3
            return Array(picture.values[first..<first + 3])
        }
        #expect(colour(step: 0, block: 0) == [31, 78, 121])
        #expect(colour(step: 1, block: 0) == [221, 230, 240])
        #expect(colour(step: 1, block: 1) == [31, 78, 121])
        #expect(throws: SchedulesError.self) {
            try SchedulePicture(Schedule(shape: .pixart(blocks: 1000, steps: 1000))).pixels()
        }
    }
}
