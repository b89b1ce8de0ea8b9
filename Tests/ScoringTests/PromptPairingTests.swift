import Foundation
import Prompts
import Scoring
import TestSupport
import Testing

@Suite struct PromptPairingTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func pair(
        _ names: [String], _ prompts: String, format: PromptFormat? = nil, by rule: PairingRule? = nil
    ) throws -> PromptPairing {
        for name in names { _ = try folder.write("", to: name) }
        let set = try PromptSet(bytes: Array(prompts.utf8), file: "p", format: format)
        return try PromptPairing(try ImageFolder(path: folder.path), with: set, rule: rule)
    }

    private func lines(_ count: Int) -> String { (0..<count).map { "prompt \($0)" }.joined(separator: "\n") }

    /// As text, 1000 sorts before 101: of 1,003 names 903 met the prompt of another image.
    @Test(
        arguments: [
            ("", 3, "__prompt_seed:000__image_seed:000.png", 0),
            ("", 3, "__prompt_id:0-1__prompt_seed:000__image_seed:000.png", 0),
            ("", 5, ".png", 0), ("img_", 1, ".jpg", 1), ("a2b-", 1, "_v1_seed7.png", 0),
        ] as [(String, Int, String, Int)])
    func numbersOfManyImagesAreThoseOfPrompts(prefix: String, digits: Int, suffix: String, first: Int) throws {
        let names = (first..<(1003 + first)).map { number in
            "\(prefix)\(String(repeating: "0", count: max(0, digits - "\(number)".count)))\(number)\(suffix)"
        }
        let pairing = try pair(names, lines(1003))
        #expect(pairing.rule == (first == 0 ? .index : .number) && pairing.unpairedCount == 0)
        #expect(pairing.texts == (0..<1003).map { "prompt \($0)" })
    }

    @Test func severalSeedsShareAPrompt() throws {
        let names = ["1_seed0.png", "0_seed1.png", "0_seed0.png", "1_seed1.png"]
        #expect(try pair(names, lines(2)).texts == ["prompt 0", "prompt 0", "prompt 1", "prompt 1"])
    }

    @Test func textAfterTheNumberIsIgnored() throws {
        let pairing = try pair(["00000_a_fox.png", "00001_2_cats.png"], lines(2))
        #expect(pairing.rule == .index && pairing.texts == ["prompt 0", "prompt 1"])
    }

    private static let identified = #"[{"id": "b-2", "prompt": "two"}, {"id": "a-1", "prompt": "one"}]"#

    @Test(arguments: [
        ["a-1.png", "b-2.png"],
        [
            "000__prompt_id:b-2__prompt_seed:000__image_seed:001.png",
            "001__prompt_id:a-1__prompt_seed:000__image_seed:001.png",
        ],
    ])
    func identifiersNameThePrompts(_ names: [String]) throws {
        let pairing = try pair(names, Self.identified)
        #expect(pairing.rule == .id && Set(pairing.texts) == ["one", "two"])
        #expect(pairing.texts[0] == (names[0].contains("a-1") ? "one" : "two"))
    }

    @Test func imagesOfASubsetArePairedByIdentifier() throws {
        let pairing = try pair(["a-1.png"], Self.identified)
        #expect(pairing.texts == ["one"] && pairing.unpairedCount == 1)
    }

    /// The identifiers of COCO's captions are from the same range as those of its images.
    @Test(arguments: ["000000000048", "COCO_val2014_000000000048", "48"])
    func cocoImagesAreNamedAfterTheirOwnIdentifier(_ name: String) throws {
        let set = #"""
            {"annotations": [{"id": 48, "image_id": 9, "caption": "nine"}, {"id": 50, "image_id": 48, "caption": "forty"}]}
            """#
        let pairing = try pair(["\(name).jpg"], set)
        #expect(pairing.rule == .imageID && pairing.texts == ["forty"])
    }

    @Test func severalCaptionsOfAnImageAreAmbiguous() throws {
        let set = #"{"annotations": [{"image_id": 9, "caption": "a"}, {"image_id": 9, "caption": "b"}]}"#
        #expect(
            complaint { try pair(["000000000009.jpg"], set) }.isOneLine(naming: "2 prompts", "image-id", "expected one")
        )
    }

    @Test func otherNamesArePairedInOrder() throws {
        let pairing = try pair(["fox.png", "cat.png"], lines(2))
        #expect(pairing.rule == .order && pairing.texts == ["prompt 0", "prompt 1"])
        #expect(complaint { try pair([], lines(1)) }.isOneLine(naming: "2 images", "1 prompts"))
    }

    /// Names that can be paired in no way or in several.
    @Test(
        arguments: [
            (["00000.jpg", "00000.png"], "a\n", ["00000.jpg", "00000.png", "same prompt"]),
            (["fox.jpg", "fox.png"], "a\n", ["fox.jpg", "same prompt"]),
            (["0_seed1.png", "0.png"], "a\n", ["same prompt"]),
            (["0.png", "2.png"], "a\nb\nc\n", ["1 of 3 prompts", "number 1", "index"]),
            (["1.png", "2.png"], "a\nb\nc\n", ["1 of 3 prompts", "index", "number"]),
            (["0.png", "3.png"], "a\nb\n", ["3.png", "no prompt 3", "0 to 1"]),
            (["1__x.png", "2__x.png"], "a\nb\n", ["2__x.png", "no prompt 2"]),
            (["0_0.png", "0_1.png", "1_0.png", "1_1.png"], "a\nb\n", ["2 numbers", "_seed3"]),
            (["img_0.png", "img_1.png", "thumb.png"], "a\nb\nc\n", ["numbered", "thumb.png"]),
            (["a-1.png", "other.png"], Self.identified, ["other.png", "no prompt has the id"]),
            (
                ["0.png", "1.png"], #"[{"id": 1, "prompt": "a"}, {"id": 0, "prompt": "b"}]"#,
                ["identifier", "counted from 0", "\"id\" or \"index\""]
            ),
        ] as [([String], String, [String])])
    func ambiguousNamesAreRejected(names: [String], prompts: String, fragments: [String]) {
        let found = complaint { try pair(names, prompts) }
        #expect(found.isOneLine(naming: fragments), "\(found)")
    }

    @Test func ruleCanBeGiven() throws {
        let names = ["1.png", "2.png"]
        #expect(try pair(names, lines(3), by: .index).texts == ["prompt 1", "prompt 2"])
        #expect(try pair(names, lines(3), by: .number).texts == ["prompt 0", "prompt 1"])
        #expect(try pair(names, lines(3), by: .number).unpairedCount == 1)
        #expect(try pair(names, lines(2), by: .order).texts == ["prompt 0", "prompt 1"])
        #expect(complaint { try pair(names, lines(2), by: .index) }.isOneLine(naming: "2.png", "0 to 1"))
        #expect(complaint { try pair(names, lines(2), by: .id) }.isOneLine(naming: "1.png", "id"))
    }
}
