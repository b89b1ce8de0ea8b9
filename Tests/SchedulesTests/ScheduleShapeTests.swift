import Foundation
import ModelConfiguration
import Schedules
import Testing

@Suite struct ScheduleShapeTests {
    @Test func pixartGenesFollowThePublishedLayout() {
        let shape = ScheduleShape.pixart()
        #expect(shape.geneCount == 1680)
        #expect(shape.index(step: 7, block: 11, component: .attn2) == (7 * 28 + 11) * 3 + 1)
    }

    @Test func fluxGenesPutSingleBlocksAfterFullOnesInEachStep() {
        let shape = ScheduleShape.flux()
        #expect(shape.geneCount == 3420)
        #expect(shape.index(step: 2, block: 5, component: .fullFFContext) == 2 * 171 + 5 * 3 + 2)
        #expect(shape.index(step: 2, block: 19 + 4, component: .singleProjMLP) == 2 * 171 + 57 + 4 * 3 + 1)
    }

    @Test(arguments: [ScheduleShape.pixart(blocks: 3, steps: 4), .flux(fullBlocks: 2, singleBlocks: 3, steps: 3)])
    func cellsInvertIndices(shape: ScheduleShape) {
        for index in 0..<shape.geneCount {
            let cell = shape.cell(at: index)
            #expect(shape.index(step: cell.step, block: cell.block, component: cell.component) == index)
        }
    }

    @Test func blockKeysAreThoseOfPublishedFiles() {
        #expect(ScheduleShape.pixart().blockKey(27) == "27")
        #expect(ScheduleShape.flux().blockKey(18) == "18")
        #expect(ScheduleShape.flux().blockKey(19) == "single_0")
        #expect(ScheduleShape.flux().blockKey(56) == "single_37")
    }

    @Test func codingKeepsTheShape() throws {
        for shape in [ScheduleShape.pixart(blocks: 5, steps: 2), .flux(fullBlocks: 0, singleBlocks: 1, steps: 9)] {
            #expect(try JSONDecoder().decode(ScheduleShape.self, from: JSONEncoder().encode(shape)) == shape)
        }
    }

    @Test(arguments: [
        #"{"pixartBlocks": 0, "steps": 2}"#, #"{"pixartBlocks": 2, "steps": 0}"#, #"{"pixartBlocks": -1, "steps": 2}"#,
        #"{"fluxFullBlocks": 900, "fluxSingleBlocks": 900, "steps": 2}"#, #"{"fluxFullBlocks": 2, "steps": 2}"#,
        #"{"pixartBlocks": 2, "steps": 1000000000000}"#,
    ])
    func decodingRefusesCountsOutOfRange(text: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(ScheduleShape.self, from: Data(text.utf8))
        }
    }
}
