/// Tokens that a tokenizer recognises verbatim in a text, before normalisation.
struct SpecialTokens: Sendable {
    struct Token: Sendable {
        let text: String
        let id: Int32
        /// Whether the token absorbs white space before it.
        var stripsLeft = false
        /// Whether the token absorbs white space after it.
        var stripsRight = false
    }

    enum Part: Equatable {
        case text(String)
        case token(Int32)
    }

    /// By descending length.
    private let tokens: [(token: Token, scalars: [Unicode.Scalar])]
    private let firstScalars: Set<Unicode.Scalar>

    init(_ tokens: [Token]) {
        self.tokens = tokens.filter { !$0.text.isEmpty }.map { ($0, Array($0.text.unicodeScalars)) }
            .sorted { $0.1.count > $1.1.count }
        firstScalars = Set(self.tokens.map { $0.scalars[0] })
    }

    /// Splits a text at the tokens; the longest match wins.
    func split(_ text: String) -> [Part] {
        let scalars = Array(text.unicodeScalars)
        var parts: [Part] = []
        var (start, position) = (0, 0)
        func flush(until end: Int) {
            guard start < end else { return }
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars[start..<end])
            parts.append(.text(String(view)))
        }
        while position < scalars.count {
            guard firstScalars.contains(scalars[position]),
                let match = tokens.first(where: { scalars[position...].starts(with: $0.scalars) })
            else {
                position += 1
                continue
            }
            var (first, end) = (position, position + match.scalars.count)
            if match.token.stripsLeft {
                while first > start, scalars[first - 1].properties.isWhitespace { first -= 1 }
            }
            if match.token.stripsRight {
                while end < scalars.count, scalars[end].properties.isWhitespace { end += 1 }
            }
            flush(until: first)
            parts.append(.token(match.token.id))
            (start, position) = (end, end)
        }
        flush(until: scalars.count)
        return parts
    }
}
