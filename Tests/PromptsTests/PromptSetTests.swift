import Prompts
import TestSupport
import Testing

@Suite struct PromptSetTests {
    private func read(
        _ text: String, file: String = "set", format: PromptFormat? = nil
    ) throws(PromptSetError) -> PromptSet {
        try PromptSet(bytes: Array(text.utf8), file: file, format: format)
    }

    @Test func gitLFSPointerIsNotAPrompt() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n", to: "p.txt")
        #expect(complaint { try PromptSet(file: path) }.isOneLine(naming: path, "Git LFS pointer", "git lfs pull"))
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
        #expect(set.format == .json)
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
        #expect(set.format == .json)
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
        #expect(
            set.prompts == [
                Prompt(text: "A dog.", identifier: "48", image: "1"),
                Prompt(text: "A dog.", identifier: "49", image: "2"),
            ])
    }

    @Test func quotesInPartiPromptsAreLiteral() throws {
        let set = try read(
            "Prompt\tCategory\tChallenge\tNote\r\n\"A B\" painted, on a wall\tIllustrations\tWriting\t\r\nbond\tAbstract\tBasic\tx\n"
        )
        #expect(set.format == .tsv)
        #expect(set.texts == ["\"A B\" painted, on a wall", "bond"])
        #expect(set.categories == ["Illustrations", "Abstract"])
    }

    @Test func quotedColumnsOfDrawBenchAreUnquoted() throws {
        let set = try read("Prompts,Category\nA red car.,Colors\n\"A \"\"big\"\" dog, a cat\",Counting\n")
        #expect(set.format == .csv)
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
            "set:2: invalid JSON at column 16: expected a quoted key (a file of lines that begins with [ or { needs the "
                + "format \"lines\")"
        ),
        (
            "[{\"other\": \"a\"}]",
            "set: entry 0: expected a string, or an object with \"prompt\", \"caption\" or \"text\""
        ),
        (
            "[{\"prompt\": \"a\"}, {\"prompt\": 3}]",
            "set: entry 1: expected a string, or an object with \"prompt\", \"caption\" or \"text\""
        ),
        ("[{\"prompt\": \" \"}]", "set: entry 0: the prompt is empty; expected text"),
        (
            "[{\"caption\": \"a\", \"text\": \"b\"}]",
            "set: entry 0: both \"caption\" and \"text\" may hold the prompt; expected one of them"
        ),
        (
            "{\"9f\": {\"prompt\": \"a\"}, \"a0\": {\"category\": \"b\"}}",
            "set: a0: expected a string, or an object with \"prompt\", \"caption\" or \"text\""
        ),
        (
            "{\"annotations\": [{\"other\": \"a\"}]}",
            "set: annotations 0: expected a string, or an object with \"prompt\", \"caption\" or \"text\""
        ),
        (
            "id,prompt\n1,\"a\"b\n",
            "set:2: text after a closing quote; expected a separator (write \"\" for a quote in a quoted field)"
        ),
        (
            "prompt\na fox\n",
            "set:1: \"prompt\" may be a header or a prompt; expected the format to be given, \"csv\" or \"lines\""
        ),
        (
            "Image ID,Prompt\n1,a\n",
            "set:1: \"Image ID,Prompt\" may be a header or a prompt; expected the format to be given, \"csv\" or \"lines\""
        ),
        ("Prompt\tCategory\tNote\na\tb\tc\td\n", "set:2: 4 columns; expected 3 as in the header"),
        ("Prompt\tCategory\tNote\na\tb\tc\n\nlost\n", "set:4: 1 column; expected 3 as in the header"),
        ("Prompt\tCategory\n\tb\n", "set:2: the prompt is empty; expected text"),
        ("Prompts,Category\n\"a,b\n", "set:2: unterminated quoted field; expected a closing \""),
        ("Prompts,Category\n", "set: no prompts; expected at least one"),
        ("one\ntw\u{0}o\n", "set:2: contains a null character; expected text"),
    ])
    func malformedSetIsReportedInOneLine(text: String, message: String) {
        let error = #expect(throws: PromptSetError.self) { try read(text) }
        #expect(error?.description == message)
    }

    /// The column or member is found by its name; the file name or the content gives the format.
    @Test(
        arguments: [
            ("set.csv", "prompt\na fox\n", .csv), ("set", "id,prompt,category\n1,a fox,x\n", .csv),
            ("set", "id,prompt\r\n1,\"a fox\"\r\n\r\n,\r\n", .csv), ("set", "\u{FEFF}ID,TEXT\r1,a fox\r", .csv),
            ("set.csv", "caption , image_id\n a fox , 3\n", .csv), ("set", "Note\tPrompt\n\"\ta fox\n", .tsv),
            ("set.TSV", "Prompt\na fox\n", .tsv), ("set", "[\"a fox\"]", .json),
            ("set", "[{\"Prompt\": \"a fox\"}]", .json),
            ("set", "{\"prompts\": [\"a fox\"]}", .json), ("set.jsonl", "{\"TEXT\": \"a fox\"}\n", .jsonl),
            ("set.jsonl", "\"a fox\"\n\n", .jsonl), ("set.txt", "a fox\n\n", .lines),
        ] as [(String, String, PromptFormat)])
    func promptIsFoundByName(file: String, text: String, format: PromptFormat) throws {
        let set = try read(text, file: file)
        #expect(set.format == format && set.texts == ["a fox"])
    }

    @Test func jsonLinesAreDetected() throws {
        let set = try read("{\"prompt\": \"a\", \"file_name\": \"0.png\"}\n{\"prompt\": \"b\", \"id\": 7}\n")
        #expect(set.format == .jsonl)
        #expect(set.prompts == [Prompt(text: "a", image: "0.png"), Prompt(text: "b", identifier: "7")])
        #expect(complaint { try read("\"a\"\n{\n", format: .jsonl) }.isOneLine(naming: "set:2: invalid JSON"))
    }

    @Test func formatCanBeForced() throws {
        #expect(
            try read("{curly} fox\n[square] fox\n# fox\n", format: .lines).texts == [
                "{curly} fox", "[square] fox", "# fox",
            ])
        #expect(try read("prompt\na fox\n", format: .lines).texts == ["prompt", "a fox"])
        #expect(try read("prompt\na fox\n", format: .csv).texts == ["a fox"])
        #expect(try read("a fox\n", file: "set.csv", format: .lines).texts == ["a fox"])
        #expect(complaint { try read("[\"a\"]", format: .coco) }.isOneLine(naming: "set", "annotations"))
        #expect(
            complaint { try read("a fox\n", file: "set.csv") }.isOneLine(naming: "set.csv:1", "\"a fox\"", "prompt"))
    }

    @Test func newlinesInQuotedFieldsArePartOfThePrompt() throws {
        #expect(try read("id,prompt\n1,\"a fox\nin snow\"\n2,b\n").texts == ["a fox\nin snow", "b"])
        #expect(complaint { try read("id,prompt\n1,\"a\nb\"\n2,\"c\nd") }.isOneLine(naming: "set:4", "unterminated"))
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

    @Test func directoryAndUTF16AreReportedInOneLine() {
        #expect(
            complaint { try PromptSet(file: "/tmp") }.description
                == "/tmp: cannot be read: is a directory; expected a file of prompts")
        #expect(
            complaint { try PromptSet(bytes: [0xFF, 0xFE, 0x61, 0], file: "set") }.isOneLine(naming: "set", "UTF-8"))
    }

    @Test func missingFileIsReported() {
        let error = #expect(throws: PromptSetError.self) { try PromptSet(file: "/nowhere/prompts.txt") }
        #expect(
            error?.description
                == "/nowhere/prompts.txt: cannot be read: no such file or directory; expected a file of prompts")
    }

    // Skipped without the samples of the published sets.
    @Test(.enabled(if: PublishedPromptSets.arePresent, "no samples of the published prompt sets"))
    func publishedSetsAreRead() throws {
        let parti = try PromptSet(file: PublishedPromptSets.path("PartiPrompts.tsv"))
        #expect(parti.format == .tsv && parti.prompts.count == 1632 && parti.categories.count == 12)
        let imageReward = try PromptSet(file: PublishedPromptSets.path("ImageRewardPrompts.json"))
        #expect(imageReward.format == .json && imageReward.prompts.count == 100)
        #expect(imageReward.prompts.allSatisfy { $0.identifier != nil })
        #expect(try PromptSet(file: PublishedPromptSets.path("DrawBench200.txt")).prompts.count == 200)
        #expect(try PromptSet(file: PublishedPromptSets.path("COCO_captions_first_2000.txt")).prompts.count == 2000)
    }
}
