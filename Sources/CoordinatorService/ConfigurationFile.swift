import Foundation
import TOMLKit

/// A TOML file of sections and keys, read strictly: what nobody reads is an error.
struct ConfigurationFile {
    /// The name that errors give.
    let file: String
    private var values: [String: Any]

    /// Parses a text.
    ///
    /// - Throws: ``CoordinatorError/invalidTOML(source:reason:)``.
    init(text: String, file: String) throws {
        self.file = file
        values = try Self.flatten(Self.parse(text, source: file), prefix: "", source: file)
    }

    /// Overrides a key by a text such as `search.generations=50`, whose value is TOML or, failing that, a string.
    mutating func set(_ assignment: String) throws {
        let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw CoordinatorError.invalidTOML(source: "--set \(assignment)", reason: "expected section.key=value")
        }
        let (key, value) = (String(parts[0]), String(parts[1]))
        let parsed = (try? Self.parse("value = \(value)", source: ""))?["value"]
        values[key] = parsed ?? value
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
        try value(key, fallback, expected: "a string") { $0 as? String }
    }

    /// The integer under a key, within a range.
    func int(_ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws -> Int {
        try value(key, fallback, expected: "an integer from \(range.lowerBound) to \(range.upperBound)") {
            guard let number = Self.number($0), let integer = Int(exactly: number), range.contains(integer) else {
                return nil
            }
            return integer
        }
    }

    /// The number under a key, within a range.
    func double(_ key: String, in range: ClosedRange<Double>, default fallback: Double? = nil) throws -> Double {
        try value(key, fallback, expected: "a number from \(range.lowerBound) to \(range.upperBound)") {
            guard let number = Self.number($0), range.contains(number) else { return nil }
            return number
        }
    }

    /// The list of strings under a key.
    func strings(_ key: String, default fallback: [String]? = nil) throws -> [String] {
        try value(key, fallback, expected: "a list of strings") { $0 as? [String] }
    }

    /// True when the key is present.
    func has(_ key: String) -> Bool { values[key] != nil }

    /// The string under a key, one of a few.
    func choice(_ key: String, of choices: [String], default fallback: String? = nil) throws -> String {
        let names = choices.map { "\"\($0)\"" }.joined(separator: ", ")
        return try value(key, fallback, expected: "one of \(names)") {
            ($0 as? String).flatMap { choices.contains($0) ? $0 : nil }
        }
    }

    private func value<Value>(
        _ key: String, _ fallback: Value?, expected: String, _ convert: (Any) -> Value?
    ) throws -> Value {
        guard let stored = values[key] else {
            guard let fallback else { throw CoordinatorError.missingKey(file: file, key: key) }
            return fallback
        }
        guard let converted = convert(stored) else {
            throw CoordinatorError.invalidValue(file: file, key: key, expected: expected, found: Self.summary(stored))
        }
        return converted
    }

    // MARK: - Parsing

    /// TOML by way of JSON, whose values Foundation gives as strings, numbers, arrays and dictionaries.
    private static func parse(_ text: String, source: String) throws -> [String: Any] {
        let json: String
        do {
            json = try TOMLTable(string: text).convert(to: .json)
        } catch let error as TOMLParseError {
            let place = "line \(error.source.begin.line), column \(error.source.begin.column)"
            throw CoordinatorError.invalidTOML(source: source, reason: "\(place): \(firstLine(error.description))")
        } catch {
            throw CoordinatorError.invalidTOML(source: source, reason: firstLine("\(error)"))
        }
        guard let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any] else {
            throw CoordinatorError.invalidTOML(source: source, reason: "it holds values that JSON has no word for")
        }
        return object
    }

    private static func flatten(_ table: [String: Any], prefix: String, source: String) throws -> [String: Any] {
        var flat: [String: Any] = [:]
        for (key, value) in table {
            if let section = value as? [String: Any] {
                flat.merge(try flatten(section, prefix: prefix + key + ".", source: source)) { $1 }
            } else {
                flat[prefix + key] = value
            }
        }
        return flat
    }

    private static func firstLine(_ text: String) -> String {
        text.split(separator: "\n").first.map(String.init) ?? text
    }

    private static func number(_ value: Any) -> Double? {
        // JSON booleans are NSNumbers too; a flag is not a number here.
        guard let number = value as? NSNumber, !(value is Bool) || number.objCType.pointee != 0x63 else { return nil }
        return number.doubleValue
    }

    private static func summary(_ value: Any) -> String {
        switch value {
        case let text as String: "\"\(text)\""
        case is [Any]: "a list"
        default: "\(value)"
        }
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
