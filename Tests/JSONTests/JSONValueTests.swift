import JSON
import Testing

@Suite struct JSONValueTests {
    func parse(_ text: String) throws -> JSONValue { try JSONValue(parsing: text.utf8, file: "a.json") }

    @Test func orderAndSpellingSurviveReadingAndWriting() throws {
        let text = """
            {
                "z": 5.0,
                "a": [
                    1e-05,
                    -0,
                    {}
                ],
                "m": {
                    "empty": [],
                    "text": "gr\\u00f6\\u00dfe \\ud83d\\ude00 \\"\\\\\\n",
                    "yes": true,
                    "none": null
                }
            }
            """
        #expect(try parse(text).indentedText == text)
        #expect(try parse(text).object?["m"]?.object?["text"]?.string == "größe 😀 \"\\\n")
    }

    @Test func booleansAndNumbersAreDistinct() throws {
        #expect(try parse("true").int == nil)
        #expect(try parse("1").bool == nil)
        #expect(try parse("5.0").int == nil)
        #expect(try parse("5.0").double == 5)
        #expect(try parse("1e999").double == nil)
    }

    @Test(arguments: [
        "", "{", "[1,", "{\"a\":1,}", "[1 2]", "{\"a\" 1}", "\"a", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "01", "1.",
        "1e",
        "-", "tru", "NaN", "-Infinity", "1 1", "\"\u{01}\"", "{\"a\":1,\"a\":2}", "{a:1}",
        String(repeating: "[", count: 100_000),
    ])
    func malformedTextIsRejected(text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test func invalidUTF8IsRejected() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22], file: "a.json") }
    }

    @Test func errorsNameLineAndColumn() {
        #expect(
            throws: JSONError.syntax(
                file: "a.json", line: 2, column: 8, problem: "expected a value")
        ) { try parse("{\n  \"a\": ?}") }
    }

    @Test func layoutsAreThoseOfPython() throws {
        let value = try parse("{\"a\": [1, \"ü\"], \"b\": {}, \"c\": []}")
        #expect(value.text(.compact) == #"{"a":[1,"\u00fc"],"b":{},"c":[]}"#)
        #expect(value.text(.singleLine, escapesNonASCII: false) == #"{"a": [1, "ü"], "b": {}, "c": []}"#)
    }

    @Test func infinitiesAreNumbersOnlyIfAccepted() throws {
        let text = "{\"a\": [Infinity, -Infinity, NaN], \"s\": \"NaN\"}"
        #expect(throws: JSONError.self) { try parse(text) }
        let value = try JSONValue(parsing: text.utf8, file: "a.json", acceptsInfinity: true)
        #expect(value.object?["a"] == .array([.number("Infinity"), .number("-Infinity"), .number("NaN")]))
        #expect(value.object?["s"] == "NaN")
    }

    /// A thousand tensors are read in time linear in the header, and unknown keys are skipped.
    @Test func readersPullMembersInOrder() throws {
        let text = "{" + (0..<1000).map { "\"\($0)\":{\"skip\":[{}],\"n\":[\($0)]}" }.joined(separator: ",") + "}"
        var reader = JSONReader(Array(text.utf8), file: "a.json")
        var found: [Int] = []
        try reader.object { (_, reader) throws(JSONError) in
            try reader.object { (key, reader) throws(JSONError) in
                guard key == "n" else { return try reader.skipValue() }
                try reader.array { (reader) throws(JSONError) in found.append(try reader.naturalNumber()) }
            }
        }
        try reader.finish()
        #expect(found == Array(0..<1000))
    }
}
