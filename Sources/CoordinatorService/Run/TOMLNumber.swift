/// The numbers of TOML.
enum TOMLNumber {
    /// The number that a word is, if it is one: `-17`, `1_000`, `0xff`, `6.02e23`, `inf`.
    static func read(_ word: String) -> TOMLValue? {
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where word.hasPrefix(prefix) {
            let digits = word.dropFirst(2)
            guard digits.first?.isHexDigit == true else { return nil }
            return plain(digits, isDigit: \.isHexDigit).flatMap { Int($0, radix: radix) }.map(TOMLValue.integer)
        }
        let sign = word.first == "-" || word.first == "+" ? String(word.prefix(1)) : ""
        let magnitude = word.dropFirst(sign.count)
        if magnitude == "inf" { return .float(sign == "-" ? -.infinity : .infinity) }
        if magnitude == "nan" { return .float(.nan) }
        guard let first = magnitude.first, first.isASCIIDigit, let digits = plain(magnitude, isDigit: \.isASCIIDigit)
        else { return nil }
        let whole = digits.prefix { $0.isASCIIDigit }
        guard whole.count == 1 || whole.first != "0" else { return nil }
        if whole.count == digits.count { return Int(sign + digits).map(TOMLValue.integer) }
        guard isFloat(digits.dropFirst(whole.count)) else { return nil }
        return Double(sign + digits).map(TOMLValue.float)
    }

    /// The word without its underscores, each of which has to stand between two digits.
    private static func plain(_ word: Substring, isDigit: (Character) -> Bool) -> String? {
        let characters = Array(word)
        for (index, character) in characters.enumerated() where character == "_" {
            guard index > 0, index + 1 < characters.count, isDigit(characters[index - 1]),
                isDigit(characters[index + 1])
            else { return nil }
        }
        return String(characters.filter { $0 != "_" })
    }

    /// Whether what follows a number's whole part is a fraction, an exponent, or both.
    private static func isFloat(_ rest: Substring) -> Bool {
        var rest = rest
        if rest.first == "." {
            rest = rest.dropFirst()
            guard rest.first?.isASCIIDigit == true else { return false }
            rest = rest.drop { $0.isASCIIDigit }
        }
        if rest.first == "e" || rest.first == "E" {
            rest = rest.dropFirst()
            if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
            guard rest.first?.isASCIIDigit == true else { return false }
            rest = rest.drop { $0.isASCIIDigit }
        }
        return rest.isEmpty
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
