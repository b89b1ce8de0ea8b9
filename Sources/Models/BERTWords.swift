import Foundation

/// BERT's clean-up of text and its cutting into words: `BasicTokenizer` of transformers 4 with `do_lower_case`.
enum BERTWords {
    /// The words of a text, in lower case and without accents; every mark of punctuation and every Chinese character is
    /// one of its own.
    static func split(_ text: String) -> [[Unicode.Scalar]] {
        // Lower case comes first, character by character, since the original looks for special tokens in between.
        var cleaned = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.lazy.flatMap({ $0.properties.lowercaseMapping.unicodeScalars }) {
            if scalar.value == 0 || scalar.value == 0xFFFD || isControl(scalar) { continue }
            if isBlank(scalar) {
                cleaned.append(" ")
            } else if isChinese(scalar) {
                cleaned.append(contentsOf: [" ", scalar, " "])
            } else {
                cleaned.append(scalar)
            }
        }
        var words: [[Unicode.Scalar]] = []
        for word in String(cleaned).precomposedStringWithCanonicalMapping.unicodeScalars.split(whereSeparator: isSpace)
        {
            let lowered = word.flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
            var view = String.UnicodeScalarView()
            view.append(contentsOf: lowered)
            var current: [Unicode.Scalar] = []
            func finish() {
                if !current.isEmpty { words.append(current) }
                current = []
            }
            for scalar in String(view).decomposedStringWithCanonicalMapping.unicodeScalars
            where scalar.properties.generalCategory != .nonspacingMark {
                if isPunctuation(scalar) {
                    finish()
                    words.append([scalar])
                } else if isSpace(scalar) {
                    finish()
                } else {
                    current.append(scalar)
                }
            }
            finish()
        }
        return words
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        [" ", "\t", "\n", "\r"].contains(scalar) || scalar.properties.generalCategory == .spaceSeparator
    }

    /// What Python's `str.split` cuts at; the separators of ASCII are control characters, which are gone by then.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        if ["\t", "\n", "\r"].contains(scalar) { return false }
        return switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned: true
        default: false
        }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        // Also what Unicode calls symbols, such as $ and ^.
        case 33...47, 58...64, 91...96, 123...126: return true
        default: break
        }
        return switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            true
        default: false
        }
    }

    private static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B820...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
