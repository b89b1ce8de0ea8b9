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
        #expect("a<b> & \"c\"\u{1}".xmlEscaped == "a&lt;b&gt; &amp; &quot;c&quot;")
    }
}
