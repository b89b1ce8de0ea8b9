import Basics
import JSON

/// A `config.json` of the Hugging Face libraries, read key by key.
///
/// Unknown keys are ignored, since published files carry legacy ones. `null` counts as an absent key. The tokens
/// `Infinity`, `-Infinity` and `NaN`, which Python writes, are read but are not values of any type. Errors are `JSONError`s that name the file and the key.
public struct Configuration: Sendable {
    /// Range of sizes and counts: no product of three overflows.
    public static let countRange = 1...1_000_000

    /// The file.
    public let path: String
    private let root: JSONCursor

    /// All keys and values, as stored.
    public var object: JSONObject { root.value.object ?? [:] }

    /// Reads the JSON object in a file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - expected: What an error about a missing file says was expected.
    /// - Throws: `FileError`, `JSONError`.
    public init(path: String, expected: String = "a JSON configuration file") throws {
        guard FileContents.exists(path) else { throw FileContents.missing(path, expected: expected) }
        let bytes = try FileContents.read(path)
        guard !bytes.isEmpty else { throw FileError(path: path, problem: "is empty; expected \(expected)") }
        let value = try JSONValue(parsing: bytes, file: path, acceptsInfinity: true)
        try self.init(JSONCursor(root: value, file: path))
    }

    /// A configuration that is not in a file; `name` stands for the path in errors.
    init(_ object: JSONObject, name: String) throws {
        try self.init(JSONCursor(root: .object(object), file: name))
    }

    private init(_ root: JSONCursor) throws {
        _ = try root.object()
        path = root.file
        self.root = root
    }

    /// Whether a key is present with a value.
    public func has(_ key: String) -> Bool { (try? member(key)) != nil }

    /// The object under a key, such as `text_config`; an empty one if the key is absent.
    public func section(_ key: String) throws -> Configuration {
        try Configuration(member(key) ?? JSONCursor(root: [:], file: path))
    }

    /// Whether the value under a key is `-Infinity`, a bound that never applies.
    public func isNegativeInfinity(_ key: String) -> Bool {
        (try? member(key))?.value == .number("-Infinity")
    }

    // MARK: - Numbers

    /// The integer under a key; integral numbers such as `2.0` count.
    public func int(_ key: String, default fallback: Int? = nil) throws -> Int {
        try value(key, fallback, expected: "an integer", \.integer)
    }

    /// The integer under a key, in a range.
    public func count(
        _ key: String, default fallback: Int? = nil, in range: ClosedRange<Int> = countRange
    ) throws -> Int {
        let expected = "an integer from \(range.lowerBound) to \(range.upperBound)"
        let count = try value(key, fallback, expected: expected) {
            $0.integer.flatMap { range.contains($0) ? $0 : nil }
        }
        // Defaults may depend on other keys.
        guard range.contains(count) else { throw mismatch(key, found: count, expected: expected) }
        return count
    }

    /// The finite number under a key.
    public func double(_ key: String, default fallback: Double? = nil) throws -> Double {
        try value(key, fallback, expected: "a number", \.double)
    }

    /// The number under a key, which must be positive and finite in single precision.
    public func positive(_ key: String, default fallback: Double) throws -> Double {
        try value(key, fallback, expected: "a positive number") {
            $0.double.flatMap { Float($0) > 0 && Float($0).isFinite ? $0 : nil }
        }
    }

    // MARK: - Other values

    /// The boolean under a key.
    public func bool(_ key: String, default fallback: Bool? = nil) throws -> Bool {
        try value(key, fallback, expected: "true or false", \.bool)
    }

    /// The string under a key.
    public func string(_ key: String, default fallback: String? = nil) throws -> String {
        try value(key, fallback, expected: "a string", \.string)
    }

    /// The string under a key, which must be one of those that are implemented.
    @discardableResult
    public func require(_ key: String, oneOf supported: [String], default fallback: String? = nil) throws -> String {
        let expected = supported.joined(separator: " or ")
        guard let member = try member(key) else {
            guard let fallback, supported.contains(fallback) else {
                throw root.missing(key, hint: "expected \(expected)")
            }
            return fallback
        }
        guard let string = member.value.string, supported.contains(string) else { throw member.mismatch(expected) }
        return string
    }

    /// The special token under a key of a tokenizer's configuration: a string, or an object with its `content`.
    public func token(_ key: String) throws -> String {
        try value(key, nil, expected: "a token") { $0.object.map { $0["content"]?.string } ?? $0.string }
    }

    /// The list of positive integers under a key, not empty.
    public func counts(_ key: String, default fallback: [Int]? = nil) throws -> [Int] {
        try value(key, fallback, expected: "a list of positive integers") {
            let counts = $0.elements { $0.integer.flatMap { Self.countRange.contains($0) ? $0 : nil } }
            return counts?.isEmpty == true ? nil : counts
        }
    }

    /// The list of strings under a key.
    public func list(_ key: String, default fallback: [String]? = nil) throws -> [String] {
        try value(key, fallback, expected: "a list of strings") { $0.elements(\.string) }
    }

    /// Three numbers under a key, for red, green and blue.
    public func colours(_ key: String, default fallback: [Double]) throws -> [Double] {
        try value(key, fallback, expected: "a list of three numbers") {
            $0.elements(\.double).flatMap { $0.count == 3 ? $0 : nil }
        }
    }

    /// The object under a key whose values are strings, such as an index's `weight_map`.
    public func strings(_ key: String) throws -> [String: String] {
        try value(key, nil, expected: "an object of strings") {
            guard let members = $0.object?.members else { return nil }
            let pairs = members.compactMap { member in member.value.string.map { (member.key, $0) } }
            return pairs.count == members.count ? Dictionary(uniqueKeysWithValues: pairs) : nil
        }
    }

    /// The error for a key whose value does not fit those of other keys.
    public func mismatch(_ key: String, found: some CustomStringConvertible, expected: String) -> JSONError {
        .unexpectedValue(file: path, path: key, found: "\(found)", expected: expected)
    }

    private func member(_ key: String) throws -> JSONCursor? {
        try root.optional(key)
    }

    private func value<Value>(
        _ key: String, _ fallback: Value?, expected: String, _ convert: (JSONValue) -> Value?
    ) throws -> Value {
        guard let member = try member(key) else {
            guard let fallback else { throw root.missing(key, hint: "expected \(expected)") }
            return fallback
        }
        guard let converted = convert(member.value) else { throw member.mismatch(expected) }
        return converted
    }
}

extension JSONValue {
    fileprivate var integer: Int? { int ?? double.flatMap { Int(exactly: $0) } }

    /// The elements of an array, all converted; nil if one cannot be.
    fileprivate func elements<Element>(_ convert: (JSONValue) -> Element?) -> [Element]? {
        guard let array else { return nil }
        let elements = array.compactMap(convert)
        return elements.count == array.count ? elements : nil
    }
}
