import Testing

@testable import CoordinatorService

@Suite struct TOMLParserTests {
    @Test func allKindsOfValuesAreParsed() throws {
        let text = #"""
            # a comment
            top = 'literal \n'
            [a]
            basic = "tab\t quote \" \u00e9 \U0001F600"   # a comment
            lines = """
            first \
               second
            third"""
            raw = '''
            it's "raw"'''
            "quoted key".x = 1
            [a.b]
            list = [1, 0x_f, # not a number
            ]
            """#
        let error = #expect(throws: TOMLError.self) { try TOMLParser.parse(text) }
        #expect(error?.description == "line 13, column 12: invalid value 0x_f; strings must be quoted")
        let values = try TOMLParser.parse(text.replacing("0x_f", with: "0xF_f, -1_000, [ true , 2.5e-3 ], inf"))
        #expect(
            values == [
                "top": .string(#"literal \n"#),
                "a.basic": .string("tab\t quote \" \u{E9} \u{1F600}"),
                "a.lines": .string("first second\nthird"),
                "a.raw": .string("it's \"raw\""),
                "a.quoted key.x": .integer(1),
                "a.b.list": .array([
                    .integer(1), .integer(255), .integer(-1000), .array([.bool(true), .float(2.5e-3)]),
                    .float(.infinity),
                ]),
            ])
    }

    @Test func inlineTablesAreTables() throws {
        let values = try TOMLParser.parse("t = { a = 1, b.c = \"x\", d = {} }\r\nu = 2")
        #expect(values == ["t.a": .integer(1), "t.b.c": .string("x"), "u": .integer(2)])
    }

    @Test(arguments: [
        ("a = 1\na = 2", "line 2, column 1: duplicate key \"a\""),
        ("[a]\n[a]", "line 2, column 2: duplicate table [a]"),
        ("a = 1\n[a.b]", "line 2, column 2: \"a\" is a value, not a table"),
        ("a.b = 1\na = 2", "line 2, column 1: duplicate key \"a\""),
        ("a = {}\na.b = 2", "line 2, column 1: the inline table \"a\" cannot be extended"),
        ("a = \"x", "line 1, column 5: unterminated string"),
        ("a = \"\\x\"", "line 1, column 6: invalid escape sequence; a backslash is written \\\\"),
        ("a = \"\\ud800\"", "line 1, column 6: expected a Unicode scalar value of 4 hexadecimal digits"),
        ("é = 1", "line 1, column 1: expected a key"),
        ("a", "line 1, column 2: expected '=' after the key"),
        ("a = ", "line 1, column 5: expected a value"),
        ("a = 1 b = 2", "line 1, column 7: expected end of line"),
        ("a = [1 2]", "line 1, column 8: expected ',' or ']' in the array"),
        ("a = 1979-05-27", "line 1, column 5: dates are not supported"),
        ("[[a]]", "line 1, column 2: arrays of tables are not supported"),
        ("a = [{}]", "line 1, column 6: tables inside arrays are not supported"),
        ("a = 017", "line 1, column 5: invalid value 017; strings must be quoted"),
        ("a = 1.", "line 1, column 5: invalid value 1.; strings must be quoted"),
        ("a = 9223372036854775808", "line 1, column 5: invalid value 9223372036854775808; strings must be quoted"),
    ])
    func errorsNameProblemAndPosition(text: String, message: String) {
        let error = #expect(throws: TOMLError.self) { try TOMLParser.parse(text) }
        #expect(error?.description == message)
    }

    /// Aborts the process in toml++, which TOMLKit 0.6.0 builds on.
    @Test func headerWithoutAKeyIsRejected() {
        let error = #expect(throws: TOMLError.self) { try TOMLParser.parse("[=") }
        #expect(error?.description == "line 1, column 2: expected a key")
    }

    @Test func deepNestingIsRejected() {
        for text in ["a = " + String(repeating: "[", count: 100_000), "a" + String(repeating: " = {a", count: 100_000)]
        {
            #expect(throws: TOMLError.self) { try TOMLParser.parse(text) }
        }
    }
}
