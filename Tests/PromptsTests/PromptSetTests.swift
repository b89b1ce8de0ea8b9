import Prompts
import Testing

@Suite struct PromptSetTests {
    private func read(_ text: String) throws(PromptSetError) -> PromptSet {
        try PromptSet(bytes: Array(text.utf8), file: "set")
    }

    @Test func linesAreTrimmedAndBlankLinesSkipped() throws {
        let set = try read("\u{FEFF} one \r\n\n  two, words\t\nprompt\n\"quoted\" \u{1F98A} \u{00E9}\n")
        #expect(set.format == .lines)
        #expect(set.texts == ["one", "two, words", "prompt", "\"quoted\" \u{1F98A} \u{00E9}"])
        #expect(set.categories.isEmpty)
    }

    @Test func imageRewardPromptsKeepTheirIdentifiers() throws {
        let set = try read(
            """
            [{"id": "005695-0057", "prompt": " a fox\\nin the snow ", "generations": [1, 2]},
             {"prompt": "a bear", "id": 7, "category": "animals"}]
            """)
        #expect(set.format == .imageReward)
        #expect(
            set.prompts == [
                Prompt(text: "a fox\nin the snow", identifier: "005695-0057"),
                Prompt(text: "a bear", category: "animals", identifier: "7"),
            ])
    }

    @Test func mjhqPromptsKeepOrderAndCategories() throws {
        let set = try read(
            """
            {"9f": {"category": "people", "prompt": "a sailor"}, "01": {"category": "animals", "prompt": "a fox"},
             "77": {"category": "people", "prompt": "a clerk"}}
            """)
        #expect(set.format == .mjhq)
        #expect(set.texts == ["a sailor", "a fox", "a clerk"])
        #expect(set.prompts.map(\.identifier) == ["9f", "01", "77"])
        #expect(set.categories == ["people", "animals"])
    }

    @Test func cocoCaptionsMayRepeat() throws {
        let set = try read(
            """
            {"info": {"year": 2014}, "images": [{"id": 1}], "annotations": [
             {"image_id": 1, "id": 48, "caption": "A dog."}, {"image_id": 2, "id": 49, "caption": "A dog."}]}
            """)
        #expect(set.format == .coco)
        #expect(set.prompts == [Prompt(text: "A dog.", identifier: "48"), Prompt(text: "A dog.", identifier: "49")])
    }

    @Test func quotesInPartiPromptsAreLiteral() throws {
        let set = try read(
            "Prompt\tCategory\tChallenge\tNote\r\n\"A B\" painted, on a wall\tIllustrations\tWriting\t\r\nbond\tAbstract\tBasic\tx\n"
        )
        #expect(set.format == .partiPrompts)
        #expect(set.texts == ["\"A B\" painted, on a wall", "bond"])
        #expect(set.categories == ["Illustrations", "Abstract"])
    }

    @Test func quotedColumnsOfDrawBenchAreUnquoted() throws {
        let set = try read("Prompts,Category\nA red car.,Colors\n\"A \"\"big\"\" dog, a cat\",Counting\n")
        #expect(set.format == .drawBench)
        #expect(set.texts == ["A red car.", "A \"big\" dog, a cat"])
        #expect(set.categories == ["Colors", "Counting"])
    }

    /// Malformed sets and their error messages.
    @Test(arguments: [
        ("", "set: no prompts; expected at least one"),
        (" \n\r\n", "set: no prompts; expected at least one"),
        ("[]", "set: no prompts; expected at least one"),
        (
            "[\n{\"prompt\": \"a\",}]",
            "set:2: invalid JSON at column 16: expected a quoted key (files that begin with [ or { are parsed as JSON)"
        ),
        ("[{\"text\": \"a\"}]", "set: entry 0: expected an object with a string \"prompt\""),
        ("[{\"prompt\": \"a\"}, {\"prompt\": 3}]", "set: entry 1: expected an object with a string \"prompt\""),
        ("[{\"prompt\": \" \"}]", "set: entry 0: \"prompt\" is empty; expected a prompt"),
        (
            "{\"9f\": {\"prompt\": \"a\"}, \"a0\": {\"category\": \"b\"}}",
            "set: a0: expected an object with a string \"prompt\""
        ),
        (
            "{\"annotations\": [{\"text\": \"a\"}]}",
            "set: annotations[0]: expected an object with a string \"caption\""
        ),
        ("Prompt\tCategory\tNote\na\tb\tc\td\n", "set:2: 4 columns; expected 3 as in the header"),
        ("Prompt\tCategory\tNote\na\tb\tc\n\nlost\n", "set:4: 1 columns; expected 3 as in the header"),
        ("Prompt\tCategory\n\tb\n", "set:2: the prompt is empty; expected text"),
        ("Prompts,Category\n\"a,b\n", "set:2: unterminated quoted column; expected a closing \""),
        ("Prompts,Category\n", "set: no prompts; expected at least one"),
        ("one\ntw\u{0}o\n", "set:2: contains a null character; expected text"),
    ])
    func malformedSetIsReportedInOneLine(text: String, message: String) {
        let error = #expect(throws: PromptSetError.self) { try read(text) }
        #expect(error?.description == message)
    }

    @Test func otherJSONIsRejected() throws {
        for text in ["{}", "{\"model\": {\"path\": \"m\"}}"] {
            #expect(throws: PromptSetError.unknownJSON(file: "set")) { try read(text) }
        }
    }

    @Test func invalidUTF8IsReportedWithItsLine() {
        #expect(throws: PromptSetError.line(file: "set", line: 2, problem: "invalid UTF-8; expected UTF-8 text")) {
            try PromptSet(bytes: Array("a\n".utf8) + [0xC3, 0x28], file: "set")
        }
    }

    @Test func missingFileIsReported() {
        let error = #expect(throws: PromptSetError.self) { try PromptSet(file: "/nowhere/prompts.txt") }
        #expect(
            error?.description
                == "/nowhere/prompts.txt: cannot be read: no such file; expected a file of prompts, for example one "
                + "per line")
    }

    // Skipped without the samples of the published sets.
    @Test(.enabled(if: PublishedPromptSets.arePresent, "no samples of the published prompt sets"))
    func publishedSetsAreRead() throws {
        let parti = try PromptSet(file: PublishedPromptSets.path("PartiPrompts.tsv"))
        #expect(parti.format == .partiPrompts && parti.prompts.count == 1632 && parti.categories.count == 12)
        let imageReward = try PromptSet(file: PublishedPromptSets.path("ImageRewardPrompts.json"))
        #expect(imageReward.format == .imageReward && imageReward.prompts.count == 100)
        #expect(imageReward.prompts.allSatisfy { $0.identifier != nil })
        #expect(try PromptSet(file: PublishedPromptSets.path("DrawBench200.txt")).prompts.count == 200)
        #expect(try PromptSet(file: PublishedPromptSets.path("COCO_captions_first_2000.txt")).prompts.count == 2000)
    }
}
