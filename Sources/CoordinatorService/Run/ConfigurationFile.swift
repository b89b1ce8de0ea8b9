/// A TOML file of sections and keys, read strictly: what nobody reads is an error.
struct ConfigurationFile {
    /// The name that errors give.
    let file: String
    private var values: [String: TOMLValue]

    /// Parses a text.
    ///
    /// - Throws: ``CoordinatorError/invalidTOML(source:reason:)``.
    init(text: String, file: String) throws {
        self.file = file
        do {
            values = try TOMLParser.parse(text)
        } catch {
            throw CoordinatorError.invalidTOML(source: file, reason: "\(error)")
        }
    }

    /// Overrides a key by a text such as `search.generations=50`, whose value is TOML or, failing that, a string.
    mutating func set(_ assignment: String) throws {
        let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw CoordinatorError.invalidTOML(source: "--set \(assignment)", reason: "expected section.key=value")
        }
        let (key, value) = (String(parts[0]), String(parts[1]))
        values[key] = (try? TOMLParser.parseValue(value)) ?? .string(value)
    }

    /// Refuses every key that is not in the list, with the nearest known one as a suggestion.
    func requireKnown(_ known: [String]) throws {
        for key in values.keys.sorted() where !known.contains(key) {
            let nearest = known.map { ($0, Self.editDistance($0, key)) }.min { $0.1 < $1.1 }
            let suggestion = nearest.flatMap { $0.1 <= max(3, key.count / 3) ? $0.0 : nil }
            throw CoordinatorError.unknownKey(file: file, key: key, suggestion: suggestion)
        }
    }

    /// The string under a key.
    func string(_ key: String, default fallback: String? = nil) throws -> String {
        try value(key, fallback, expected: "a string", \.string)
    }

    /// The integer under a key, within a range.
    func int(_ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws -> Int {
        try value(key, fallback, expected: "an integer from \(range.lowerBound) to \(range.upperBound)") {
            $0.integer.flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// The number under a key, within a range.
    func double(_ key: String, in range: ClosedRange<Double>, default fallback: Double? = nil) throws -> Double {
        try value(key, fallback, expected: "a number from \(range.lowerBound) to \(range.upperBound)") {
            $0.number.flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// The list of strings under a key.
    func strings(_ key: String, default fallback: [String]? = nil) throws -> [String] {
        try value(key, fallback, expected: "a list of strings") {
            guard case .list(let elements) = $0 else { return nil }
            let strings = elements.compactMap(\.string)
            return strings.count == elements.count ? strings : nil
        }
    }

    /// True when the key is present.
    func has(_ key: String) -> Bool { values[key] != nil }

    /// The string under a key, one of a few.
    func choice(_ key: String, of choices: [String], default fallback: String? = nil) throws -> String {
        let names = choices.map { "\"\($0)\"" }.joined(separator: ", ")
        return try value(key, fallback, expected: "one of \(names)") {
            $0.string.flatMap { choices.contains($0) ? $0 : nil }
        }
    }

    private func value<Value>(
        _ key: String, _ fallback: Value?, expected: String, _ convert: (TOMLValue) -> Value?
    ) throws -> Value {
        guard let stored = values[key] else {
            guard let fallback else { throw CoordinatorError.missingKey(file: file, key: key) }
            return fallback
        }
        guard let converted = convert(stored) else {
            throw CoordinatorError.invalidValue(file: file, key: key, expected: expected, found: "\(stored)")
        }
        return converted
    }

    private static func editDistance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a), Array(b))
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let substitution = diagonal + (a[i] == b[j] ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substitution, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[b.count]
    }
}
