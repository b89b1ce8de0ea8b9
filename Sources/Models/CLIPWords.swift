import Foundation

/// CLIP's clean-up of text and its cutting into words.
enum CLIPWords {
    /// What the original's pattern takes as one word, and its byte-level step then cuts at the letters.
    private static let markers = ["startoftext", "endoftext"].map { Array("<|\($0)|>".unicodeScalars) }
    private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map { Array($0.unicodeScalars) }

    /// The words of a text: composed (NFC), in lower case, without white space.
    ///
    /// A word is a contraction, a run of letters, one digit, or a run of anything else.
    static func split(_ text: ArraySlice<Unicode.Scalar>) -> [String] {
        var composed = String.UnicodeScalarView()
        composed.append(contentsOf: text)
        // Scalar by scalar, as the original does: no final sigma.
        let scalars = String(composed).precomposedStringWithCanonicalMapping.unicodeScalars
            .flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
        var words: [String] = []
        var position = 0
        func take(_ count: Int) {
            var word = String.UnicodeScalarView()
            word.append(contentsOf: scalars[position..<(position + count)])
            words.append(String(word))
            position += count
        }
        func run(_ kind: Kind) -> Int { scalars[position...].prefix { Kind($0) == kind }.count }
        while position < scalars.count {
            if let marker = markers.first(where: { scalars[position...].starts(with: $0) }) {
                for count in [2, marker.count - 4, 2] { take(count) }
            } else if let contraction = contractions.first(where: { scalars[position...].starts(with: $0) }) {
                take(contraction.count)
            } else {
                let kind = Kind(scalars[position])
                switch kind {
                case .space: position += 1
                case .number: take(1)
                case .letter, .other: take(run(kind))
                }
            }
        }
        return words
    }

    private enum Kind {
        case space, letter, number, other

        init(_ scalar: Unicode.Scalar) {
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
            case .decimalNumber, .letterNumber, .otherNumber: self = .number
            default: self = scalar.properties.isWhitespace ? .space : .other
            }
        }
    }
}
