/// A JSON document that preserves the order of keys and the spelling of numbers.
///
/// ECAD's original implementation decodes FLUX schedules in the order of their keys, and a file that is read and
/// written again must not change, so Foundation's parsers will not do. A boolean is never read as a number.
public enum JSONValue: Hashable, Sendable {
    /// The literal `null`.
    case null
    /// A literal `true` or `false`.
    case bool(Bool)
    /// A number, as written.
    case number(String)
    /// A string, unescaped.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object, with its keys in order.
    case object(JSONObject)

    /// Parses a document.
    ///
    /// - Parameters:
    ///   - bytes: The document, UTF-8.
    ///   - file: The name used in errors.
    ///   - acceptsInfinity: Whether `Infinity`, `-Infinity` and `NaN`, which Python writes, count as numbers.
    /// - Throws: ``JSONError/syntax(file:line:column:problem:)``, also for an object with duplicate keys and for more
    ///   than 64 levels of nesting.
    public init(
        parsing bytes: some Sequence<UInt8>, file: String, acceptsInfinity: Bool = false
    ) throws(JSONError) {
        var reader = JSONReader(Array(bytes), file: file, acceptsInfinity: acceptsInfinity)
        self = try reader.value()
        try reader.finish()
    }

    /// Makes a number.
    public init(_ value: Int) { self = .number(String(value)) }

    /// The value as an integer; nil if it is not one or is written with a fraction or exponent.
    public var int: Int? {
        if case .number(let literal) = self { Int(literal) } else { nil }
    }

    /// The value as a finite number.
    public var double: Double? {
        guard case .number(let literal) = self, let value = Double(literal), value.isFinite else { return nil }
        return value
    }

    /// The value as a boolean.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The value as a string.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The value as an array.
    public var array: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The value as an object.
    public var object: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }
}

/// The members of a JSON object in order; keys are unique.
public struct JSONObject: Hashable, Sendable {
    /// A key and its value.
    public struct Member: Hashable, Sendable {
        /// The key, unescaped.
        public let key: String
        /// The key's value.
        public var value: JSONValue

        /// Pairs a key with its value.
        public init(key: String, value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    /// The members, in order.
    public private(set) var members: [Member]

    /// Makes an empty object.
    public init() { members = [] }

    /// Makes an object of members.
    ///
    /// - Precondition: The keys are distinct; this is not checked.
    public init(distinct members: [Member]) { self.members = members }

    /// Whether there are no members.
    public var isEmpty: Bool { members.isEmpty }

    /// The value of a key, found in linear time; setting an absent key appends it, setting nil removes it.
    public subscript(key: String) -> JSONValue? {
        get { members.first { $0.key == key }?.value }
        set {
            let position = members.firstIndex { $0.key == key }
            switch (position, newValue) {
            case (let position?, let value?): members[position].value = value
            case (let position?, nil): members.remove(at: position)
            case (nil, let value?): members.append(Member(key: key, value: value))
            case (nil, nil): break
            }
        }
    }
}

// MARK: - Literals

extension JSONValue: ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByStringLiteral {
    /// Makes a number.
    public init(integerLiteral value: Int) { self = .number(String(value)) }

    /// Makes a boolean.
    public init(booleanLiteral value: Bool) { self = .bool(value) }

    /// Makes a string.
    public init(stringLiteral value: String) { self = .string(value) }
}

extension JSONValue: ExpressibleByDictionaryLiteral {
    /// Makes an object; of duplicate keys the last value counts.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (key, value) in elements { object[key] = value }
        self = .object(object)
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// Makes an object; of duplicate keys the last value counts.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self.init()
        for (key, value) in elements { self[key] = value }
    }
}
