import Testing

@testable import CoordinatorService

@Suite struct TOMLParserTests {
    @Test func everyKindOfValueIsRead() throws {
        let text = #"""
            # the whole of it
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
        let mistake = #expect(throws: TOMLError.self) { try TOMLParser.parse(text) }
        #expect(mistake?.description == "line 13, column 12: 0x_f is no value; a text stands in quotes")
        let values = try TOMLParser.parse(text.replacing("0x_f", with: "0xF_f, -1_000, [ true , 2.5e-3 ], inf"))
        #expect(
            values == [
                "top": .string(#"literal \n"#),
                "a.basic": .string("tab\t quote \" \u{E9} \u{1F600}"),
                "a.lines": .string("first second\nthird"),
                "a.raw": .string("it's \"raw\""),
                "a.quoted key.x": .integer(1),
                "a.b.list": .list([
                    .integer(1), .integer(255), .integer(-1000), .list([.bool(true), .float(2.5e-3)]),
                    .float(.infinity),
                ]),
            ])
    }

    @Test func inlineTablesAreTables() throws {
        let values = try TOMLParser.parse("t = { a = 1, b.c = \"x\", d = {} }\r\nu = 2")
        #expect(values == ["t.a": .integer(1), "t.b.c": .string("x"), "u": .integer(2)])
    }

    @Test(arguments: [
        ("a = 1\na = 2", "line 2, column 1: the key \"a\" occurs twice"),
        ("[a]\n[a]", "line 2, column 2: the table [a] occurs twice"),
        ("a = 1\n[a.b]", "line 2, column 2: \"a\" is a value, not a table"),
        ("a.b = 1\na = 2", "line 2, column 1: the key \"a\" occurs twice"),
        ("a = {}\na.b = 2", "line 2, column 1: nothing can be added to the inline table \"a\""),
        ("a = \"x", "line 1, column 5: a string without an end"),
        ("a = \"\\x\"", "line 1, column 6: an unknown escape; a backslash is written \\\\"),
        ("a = \"\\ud800\"", "line 1, column 6: expected a character's number in 4 hexadecimal digits"),
        ("é = 1", "line 1, column 1: expected a key"),
        ("a", "line 1, column 2: expected '=' after the key"),
        ("a = ", "line 1, column 5: expected a value"),
        ("a = 1 b = 2", "line 1, column 7: expected the end of the line"),
        ("a = [1 2]", "line 1, column 8: expected ',' or ']' in the list"),
        ("a = 1979-05-27", "line 1, column 5: dates have no use here"),
        ("[[a]]", "line 1, column 2: arrays of tables have no use here"),
        ("a = [{}]", "line 1, column 6: tables inside lists have no use here"),
        ("a = 017", "line 1, column 5: 017 is no value; a text stands in quotes"),
        ("a = 1.", "line 1, column 5: 1. is no value; a text stands in quotes"),
        ("a = 9223372036854775808", "line 1, column 5: 9223372036854775808 is no value; a text stands in quotes"),
    ])
    func whatIsWrongIsSaidWithItsPlace(text: String, message: String) {
        let error = #expect(throws: TOMLError.self) { try TOMLParser.parse(text) }
        #expect(error?.description == message)
    }

    @Test func deepNestingIsRefused() {
        for text in ["a = " + String(repeating: "[", count: 100_000), "a" + String(repeating: " = {a", count: 100_000)]
        {
            #expect(throws: TOMLError.self) { try TOMLParser.parse(text) }
        }
    }
}
