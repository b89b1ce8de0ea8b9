import Basics
import Testing

@Suite struct TextLayoutTests {
    @Test(arguments: [(5.2, "6s"), (61, "1m01s"), (7300, "2h01m"), (Double.infinity, "--"), (.nan, "--")])
    func durationsAreRoundedUp(_ seconds: Double, _ text: String) {
        #expect(durationText(seconds: seconds) == text)
    }

    @Test func tablesAlignNumbersRightAndHaveNoTrailingSpaces() {
        let table = alignedTable([["n", "text"], ["5", "x"], ["500", ""]], isNumeric: [true, false])
        #expect(table == "  n  text\n  5  x\n500\n")
    }

    @Test func markupAndControlCharactersAreEscapedForXML() {
        #expect("a<b> & \"c\"\u{1}".xmlEscaped == "a&lt;b&gt; &amp; &quot;c&quot;\u{FFFD}")
        #expect("one\ntwo\t\u{FFFE}\u{202E}".xmlEscaped == "one two \u{FFFD}\u{FFFD}")
    }

    /// An escape sequence, a C1 control, marks that reorder text, and a family of joined emoji.
    @Test(arguments: [
        ("red \u{1B}[31mfox", "red \\u{1b}[31mfox"), ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"), ("\u{9B}2J", "\\u{9b}2J"),
        ("\u{202E}evil\u{2069}", "\\u{202e}evil\\u{2069}"), ("\u{200F}x\u{2028}", "\\u{200f}x\\u{2028}"),
        ("caf\u{E9} \u{1F468}\u{200D}\u{1F469}", "caf\u{E9} \u{1F468}\u{200D}\u{1F469}"), ("", ""),
    ])
    func terminalsAreNotCommandedByATextFromOutside(_ text: String, _ escaped: String) {
        #expect(text.terminalEscaped == escaped)
        #expect(alignedTable([[text]], isNumeric: [false]) == escaped + "\n")
    }

    @Test func messagesOfSeveralLinesKeepTheirNewlines() {
        #expect("a\nb\u{7}".terminalEscapedLines == "a\nb\\u{7}")
    }

    /// The expected row is what Python's `csv.writer` writes.
    @Test func csvFieldsAreQuotedAsByPython() {
        let fields = ["a\nb", "c\rd", "e\"f", "g,h", "plain", "\u{2028}x", "\"\u{308}", " lead", "k\r\nl"]
        #expect(
            fields.map(\.csvField).joined(separator: ",")
                == "\"a\nb\",\"c\rd\",\"e\"\"f\",\"g,h\",plain,\u{2028}x,\"\"\"\u{308}\", lead,\"k\r\nl\"")
    }

    @Test(arguments: [
        ("p|q", "p\\|q"), ("a\nb", "a<br>b"), ("a\\|b", "a\\\\\\|b"), ("<b> & *x* `y`", "&lt;b> &amp; \\*x\\* \\`y\\`"),
        ("\u{1B}", "\\\\u{1b}"), ("|\u{308}", "\\|\u{308}"),
    ])
    func markdownCellsKeepTheTableTogether(_ text: String, _ cell: String) { #expect(text.markdownCell == cell) }
}
