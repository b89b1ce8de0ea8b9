import Basics
import Foundation

/// The description of one key of the run configuration.
///
/// ``RunConfiguration/keys`` lists all of them. Parsing, suggestions for misspelt keys, the resolved configuration in
/// the history and the table in `cluster/README.md` are derived from that list.
struct ConfigurationKey: Sendable {
    /// The dotted name, `search.population`.
    let name: String
    /// The accepted values in Markdown, "integer, 4 to 10000".
    let values: String
    /// The default in Markdown; empty for required keys.
    let defaultValue: String
    /// One sentence in Markdown.
    let summary: String
    /// Parses the key, if present, into a configuration.
    let read: @Sendable (ConfigurationFile, inout RunConfiguration) throws -> Void
    /// The configuration's value as TOML; nil if the key is absent.
    let write: @Sendable (RunConfiguration) -> String?

    /// Describes a key whose default is the property's initial value.
    static func key<Value>(
        _ name: String, _ property: any WritableKeyPath<RunConfiguration, Value> & Sendable,
        _ format: ConfigurationFormat<Value>, isRequired: Bool = false, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, values: format.values,
            defaultValue: isRequired ? "required" : "`\(format.encode(RunConfiguration()[keyPath: property]))`",
            summary: summary
        ) { file, configuration in
            if let value = try file.value(name, format) {
                configuration[keyPath: property] = value
            } else if isRequired {
                throw CoordinatorError.missingKey(file: file.name, key: name)
            }
        } write: { configuration in
            format.encode(configuration[keyPath: property])
        }
    }

    /// The same key, left out of the resolved configuration unless it has an effect.
    func written(if hasEffect: @escaping @Sendable (RunConfiguration) -> Bool) -> ConfigurationKey {
        ConfigurationKey(
            name: name, values: values, defaultValue: defaultValue, summary: summary, read: read
        ) { configuration in
            hasEffect(configuration) ? write(configuration) : nil
        }
    }

    /// Describes a key that may be absent.
    ///
    /// - Parameters:
    ///   - name: The dotted name.
    ///   - property: Nil while the key is absent.
    ///   - format: The accepted values.
    ///   - absence: What applies if the key is absent, in Markdown.
    ///   - isInternal: Whether only the coordinator sets the key, in the configuration that it stores.
    ///   - summary: One sentence in Markdown.
    /// - Returns: The description.
    static func optional<Value>(
        _ name: String, _ property: any WritableKeyPath<RunConfiguration, Value?> & Sendable,
        _ format: ConfigurationFormat<Value>, absence: String = "none", isInternal: Bool = false, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name, values: format.values, defaultValue: isInternal ? "set by the coordinator" : absence,
            summary: summary
        ) { file, configuration in
            if let value = try file.value(name, format) { configuration[keyPath: property] = value }
        } write: { configuration in
            configuration[keyPath: property].map(format.encode)
        }
    }
}

// MARK: - Formats

/// The accepted values of a key and their spelling in TOML.
struct ConfigurationFormat<Value>: Sendable {
    /// The accepted values in Markdown.
    let values: String
    /// What an error message expects instead of an unacceptable value.
    let expected: @Sendable (TOMLValue) -> String
    /// The value, given the directory that relative paths start from; nil if unacceptable.
    let decode: @Sendable (TOMLValue, _ folder: String) -> Value?
    /// TOML that ``decode`` accepts.
    let encode: @Sendable (Value) -> String
}

extension ConfigurationFormat where Value: BinaryInteger & Sendable {
    static func integer(_ range: ClosedRange<Value>) -> Self {
        let limits = "\(range.lowerBound) to \(range.upperBound)"
        return Self(values: "integer, \(limits)") {
            $0.integer == nil ? "an integer from \(limits)" : limits
        } decode: { value, _ in
            value.integer.flatMap(Value.init(exactly:)).flatMap { range.contains($0) ? $0 : nil }
        } encode: {
            "\($0)"
        }
    }
}

extension ConfigurationFormat<Double> {
    static func number(_ range: ClosedRange<Double>) -> Self {
        let limits = [range.lowerBound, range.upperBound].map { $0 == $0.rounded() ? "\(Int($0))" : "\($0)" }
            .joined(separator: " to ")
        return Self(values: "number, \(limits)") {
            $0.number == nil ? "a number from \(limits)" : limits
        } decode: { value, _ in
            value.number.flatMap { range.contains($0) ? $0 : nil }
        } encode: {
            "\($0)"
        }
    }
}

extension ConfigurationFormat<String> {
    static var string: Self {
        Self(values: "string") { _ in
            "a string"
        } decode: { value, _ in
            value.string
        } encode: {
            quoted($0)
        }
    }

    /// A file or directory; stored absolute.
    static var path: Self {
        Self(values: "path") { found in
            found.string == nil ? "a string" : "a path"
        } decode: { value, folder in
            guard let path = value.string, !path.isEmpty else { return nil }
            return path.hasPrefix("/")
                ? path : URL(fileURLWithPath: folder).appendingPathComponent(path).standardized.path
        } encode: {
            quoted($0)
        }
    }

    fileprivate static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\" + String(scalar)
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted += String(scalar)
            }
        }
        return quoted + "\""
    }
}

extension ConfigurationFormat where Value: CaseIterable & RawRepresentable & Sendable, Value.RawValue == String {
    /// One of the cases, by its raw value.
    ///
    /// - Parameter former: Names of earlier releases and the present ones.
    /// - Returns: The format.
    static func choice(former: [String: String] = [:]) -> Self {
        let names = Value.allCases.map(\.rawValue)
        return Self(values: names.map { "`\"\($0)\"`" }.joined(separator: ", ")) { _ in
            "one of \(names.map { "\"\($0)\"" }.joined(separator: ", "))"
        } decode: { value, _ in
            value.string.flatMap { Value(rawValue: $0) ?? former[$0].flatMap(Value.init(rawValue:)) }
        } encode: {
            "\"\($0.rawValue)\""
        }
    }
}

extension ConfigurationFormat {
    /// An array of cases, by their raw values.
    static func list<Element>() -> Self
    where Value == [Element], Element: CaseIterable & RawRepresentable & Sendable, Element.RawValue == String {
        let choice = ConfigurationFormat<Element>.choice()
        return Self(values: "array of \(choice.values)") {
            "an array of \(choice.expected($0))"
        } decode: { value, folder in
            guard case .array(let elements) = value else { return nil }
            let decoded = elements.compactMap { choice.decode($0, folder) }
            return decoded.count == elements.count ? decoded : nil
        } encode: { values in
            "[\(values.map(choice.encode).joined(separator: ", "))]"
        }
    }
}

// MARK: - Files

/// The parsed TOML of a run configuration, with overrides.
struct ConfigurationFile {
    /// The file name in error messages.
    let name: String
    /// The directory that relative paths start from.
    let folder: String
    private var values: [String: TOMLValue]
    private var overridden: Set<String> = []

    /// The keys that are present.
    var keys: Set<String> { Set(values.keys) }

    /// Parses TOML.
    ///
    /// - Throws: ``CoordinatorError/invalidTOML(source:reason:)``.
    init(text: String, name: String, folder: String) throws {
        self.name = name
        self.folder = folder
        do {
            values = try TOMLParser.parse(text)
        } catch {
            throw CoordinatorError.invalidTOML(source: name, reason: "\(error)")
        }
    }

    /// The key of an assignment such as `search.generations=50`.
    static func key(ofAssignment assignment: String) -> String { String(assignment.prefix { $0 != "=" }) }

    /// Keys of which only one can be set: an override of one replaces the other in the file.
    private static let alternatives = [("search.generations", "search.budget_images")]

    /// Overrides a key with an assignment such as `search.generations=50`; a value that is not TOML is a string.
    mutating func override(_ assignment: String) throws {
        let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw CoordinatorError.invalidTOML(source: "--set \(assignment)", reason: "expected section.key=value")
        }
        let (key, value) = (String(parts[0]), String(parts[1]))
        overridden.insert(key)
        values[key] = (try? TOMLParser.parseValue(value)) ?? .string(value)
        for pair in Self.alternatives {
            let other = key == pair.0 ? pair.1 : key == pair.1 ? pair.0 : nil
            if let other, !overridden.contains(other) { values[other] = nil }
        }
    }

    /// Where a key was set, for error messages: the file, or `--set`.
    func source(of key: String) -> String { overridden.contains(key) ? "--set" : name }

    /// The value of a key; nil if the key is absent.
    ///
    /// - Throws: ``CoordinatorError/invalidValue(file:key:expected:found:)``.
    func value<Value>(_ key: String, _ format: ConfigurationFormat<Value>) throws -> Value? {
        guard let found = values[key] else { return nil }
        guard let value = format.decode(found, folder) else {
            throw CoordinatorError.invalidValue(
                file: source(of: key), key: key, expected: format.expected(found), found: "\(found)")
        }
        return value
    }

    /// Rejects keys outside a list, and suggests the closest key of the list.
    ///
    /// - Throws: ``CoordinatorError/unknownKey(file:key:suggestion:)``.
    func rejectUnknownKeys(allowed: [String]) throws {
        for key in values.keys.sorted() where !allowed.contains(key) {
            throw CoordinatorError.unknownKey(file: source(of: key), key: key, suggestion: key.closest(in: allowed))
        }
    }
}
