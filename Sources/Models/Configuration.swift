import Foundation

/// A `config.json` of the Hugging Face libraries: a JSON object read key by key.
///
/// Unknown keys are ignored, since published files carry legacy ones. The bare tokens `Infinity`, `-Infinity` and
/// `NaN`, which Python writes and strict JSON forbids, are read as null.
public struct Configuration: Sendable {
    /// The file it was read from.
    public let path: String
    private let object: [String: JSONValue]

    /// Reads the JSON object in a file.
    ///
    /// - Throws: ``ModelsError/missingFile(path:expected:)``, ``ModelsError/invalidJSON(path:reason:)``.
    public init(path: String) throws {
        self.path = path
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ModelsError.missingFile(path: path, expected: "a JSON configuration file")
        }
        let strict = Configuration.withoutBareInfinities(String(decoding: data, as: UTF8.self))
        do {
            object = try JSONDecoder().decode([String: JSONValue].self, from: Data(strict.utf8))
        } catch {
            throw ModelsError.invalidJSON(path: path, reason: "it cannot be parsed")
        }
    }

    private init(path: String, object: [String: JSONValue]) {
        self.path = path
        self.object = object
    }

    /// The object under a key, such as `text_config`, to be read key by key; an empty one if the key is absent.
    public func section(_ key: String) throws -> Configuration {
        let members = try value(key, [:], expected: "an object") { stored -> [String: JSONValue]? in
            guard case .object(let members) = stored else { return nil }
            return members
        }
        return Configuration(path: path, object: members)
    }

    /// Three numbers under a key, for red, green and blue.
    public func colours(_ key: String, default fallback: [Double]) throws -> [Double] {
        try value(key, fallback, expected: "a list of three numbers") {
            guard case .array(let elements) = $0, elements.count == 3 else { return nil }
            let numbers = elements.compactMap { element -> Double? in
                guard case .number(let number) = element, number.isFinite else { return nil }
                return number
            }
            return numbers.count == 3 ? numbers : nil
        }
    }

    /// True when the key is present and not null.
    public func has(_ key: String) -> Bool {
        object[key].map { $0 != .null } ?? false
    }

    /// The integer under a key; integral numbers such as `2.0` count.
    public func int(_ key: String, default fallback: Int? = nil) throws -> Int {
        try value(key, fallback, expected: "an integer") {
            guard case .number(let number) = $0 else { return nil }
            return Int(exactly: number)
        }
    }

    /// The integer under a key, for sizes and counts: in a range that no product of a few of them overflows.
    public func count(
        _ key: String, default fallback: Int? = nil, in range: ClosedRange<Int> = 1...1_000_000
    ) throws -> Int {
        let found = try int(key, default: fallback)
        guard range.contains(found) else {
            throw ModelsError.invalidValue(
                path: path, key: key, expected: "an integer from \(range.lowerBound) to \(range.upperBound)",
                found: "\(found)")
        }
        return found
    }

    /// The number under a key.
    public func double(_ key: String, default fallback: Double? = nil) throws -> Double {
        try value(key, fallback, expected: "a number") {
            guard case .number(let number) = $0 else { return nil }
            return number
        }
    }

    /// The number under a key that must be positive, also in single precision.
    public func positive(_ key: String, default fallback: Double) throws -> Double {
        let found = try double(key, default: fallback)
        guard Float(found) > 0, Float(found).isFinite else {
            throw ModelsError.invalidValue(path: path, key: key, expected: "a positive number", found: "\(found)")
        }
        return found
    }

    /// The boolean under a key.
    public func bool(_ key: String, default fallback: Bool? = nil) throws -> Bool {
        try value(key, fallback, expected: "true or false") {
            guard case .bool(let flag) = $0 else { return nil }
            return flag
        }
    }

    /// The string under a key.
    public func string(_ key: String, default fallback: String? = nil) throws -> String {
        try value(key, fallback, expected: "a string", \.text)
    }

    /// The special token under a key of a tokenizer's configuration: a string, or an object with its `content`.
    public func token(_ key: String) throws -> String {
        try value(key, nil, expected: "a token") {
            if case .object(let members) = $0 { return members["content"]?.text }
            return $0.text
        }
    }

    /// The list of positive integers under a key.
    public func counts(_ key: String, default fallback: [Int]? = nil) throws -> [Int] {
        try value(key, fallback, expected: "a list of positive integers") {
            guard case .array(let elements) = $0, !elements.isEmpty else { return nil }
            let counts = elements.compactMap { element -> Int? in
                guard case .number(let number) = element, let count = Int(exactly: number) else { return nil }
                return (1...1_000_000).contains(count) ? count : nil
            }
            return counts.count == elements.count ? counts : nil
        }
    }

    /// The list of strings under a key.
    public func list(_ key: String, default fallback: [String]? = nil) throws -> [String] {
        try value(key, fallback, expected: "a list of strings") {
            guard case .array(let elements) = $0 else { return nil }
            let strings = elements.compactMap(\.text)
            return strings.count == elements.count ? strings : nil
        }
    }

    /// The object under a key whose values are strings, such as an index's `weight_map`.
    public func strings(_ key: String) throws -> [String: String] {
        try value(key, nil, expected: "an object of strings") {
            guard case .object(let members) = $0 else { return nil }
            let strings = members.compactMapValues(\.text)
            return strings.count == members.count ? strings : nil
        }
    }

    /// Refuses every value but the ones an implementation supports.
    ///
    /// - Throws: ``ModelsError/invalidValue(path:key:expected:found:)``.
    public func require(_ key: String, oneOf supported: [String], default fallback: String) throws -> String {
        let found = try string(key, default: fallback)
        guard supported.contains(found) else {
            throw ModelsError.invalidValue(
                path: path, key: key, expected: supported.joined(separator: " or "), found: "\"\(found)\"")
        }
        return found
    }

    private func value<Value>(
        _ key: String, _ fallback: Value?, expected: String, _ convert: (JSONValue) -> Value?
    ) throws -> Value {
        guard let stored = object[key], stored != .null else {
            guard let fallback else { throw ModelsError.missingKey(path: path, key: key) }
            return fallback
        }
        guard let converted = convert(stored) else {
            throw ModelsError.invalidValue(path: path, key: key, expected: expected, found: stored.summary)
        }
        return converted
    }

    private static func withoutBareInfinities(_ text: String) -> String {
        guard text.contains("Infinity") || text.contains("NaN") else { return text }
        var result = ""
        // Every odd piece between unescaped quotation marks is a string's content and stays as it is.
        var insideString = false
        var escaped = false
        var outside = ""
        func flush() {
            for token in ["-Infinity", "Infinity", "NaN"] {
                outside = outside.replacingOccurrences(of: token, with: "null")
            }
            result += outside
            outside = ""
        }
        for character in text {
            if insideString {
                result.append(character)
                if escaped {
                    escaped = false
                } else if character == "\\" {
                    escaped = true
                } else if character == "\"" {
                    insideString = false
                }
            } else if character == "\"" {
                flush()
                result.append(character)
                insideString = true
            } else {
                outside.append(character)
            }
        }
        flush()
        return result
    }
}

/// Any JSON value.
private enum JSONValue: Decodable, Equatable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let flag = try? container.decode(Bool.self) {
            self = .bool(flag)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let elements = try? container.decode([JSONValue].self) {
            self = .array(elements)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    var summary: String {
        switch self {
        case .null: "null"
        case .bool(let flag): "\(flag)"
        case .number(let number): Int(exactly: number).map(String.init) ?? "\(number)"
        case .string(let text): "\"\(text)\""
        case .array: "a list"
        case .object: "an object"
        }
    }
}
