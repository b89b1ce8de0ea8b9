/// A TOML value other than a table; documents are read into a flat dictionary of dotted keys.
enum TOMLValue: Equatable {
    case string(String)
    case integer(Int)
    case float(Double)
    case bool(Bool)
    case array([TOMLValue])

    var string: String? { if case .string(let text) = self { text } else { nil } }

    /// The value of an integer, or of a float without a fraction.
    var integer: Int? {
        switch self {
        case .integer(let number): number
        case .float(let number): Int(exactly: number)
        default: nil
        }
    }

    /// The value of an integer or a float.
    var number: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .float(let number): number
        default: nil
        }
    }
}

extension TOMLValue: CustomStringConvertible {
    /// The value on one line, for error messages.
    var description: String {
        switch self {
        case .string(let text): text.debugDescription
        case .integer(let number): "\(number)"
        case .float(let number): "\(number)"
        case .bool(let flag): "\(flag)"
        case .array(let elements): "[\(elements.map(\.description).joined(separator: ", "))]"
        }
    }
}

// MARK: - Numbers

extension TOMLValue {
    /// Parses a number such as `-17`, `1_000`, `0xff`, `6.02e23` or `inf`; nil if the word is not a number.
    init?(number word: String) {
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where word.hasPrefix(prefix) {
            let digits = word.dropFirst(2)
            guard digits.first?.isHexDigit == true,
                let number = Self.withoutUnderscores(digits, isDigit: \.isHexDigit).flatMap({ Int($0, radix: radix) })
            else { return nil }
            self = .integer(number)
            return
        }
        let sign = word.first == "-" || word.first == "+" ? String(word.prefix(1)) : ""
        let magnitude = word.dropFirst(sign.count)
        if magnitude == "inf" || magnitude == "nan" {
            self = .float(magnitude == "nan" ? .nan : sign == "-" ? -.infinity : .infinity)
            return
        }
        guard magnitude.first?.isASCIIDigit == true,
            let digits = Self.withoutUnderscores(magnitude, isDigit: \.isASCIIDigit)
        else { return nil }
        let whole = digits.prefix { $0.isASCIIDigit }
        guard whole.count == 1 || whole.first != "0" else { return nil }
        if whole.count == digits.count {
            guard let number = Int(sign + digits) else { return nil }
            self = .integer(number)
        } else {
            guard Self.isFractionOrExponent(digits.dropFirst(whole.count)), let number = Double(sign + digits)
            else { return nil }
            self = .float(number)
        }
    }

    /// Removes underscores; nil if one of them is not between two digits.
    private static func withoutUnderscores(_ word: Substring, isDigit: (Character) -> Bool) -> String? {
        let characters = Array(word)
        for (index, character) in characters.enumerated() where character == "_" {
            guard index > 0, index + 1 < characters.count, isDigit(characters[index - 1]),
                isDigit(characters[index + 1])
            else { return nil }
        }
        return String(characters.filter { $0 != "_" })
    }

    private static func isFractionOrExponent(_ rest: Substring) -> Bool {
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
