/// A value of a JSON document with its path, for checks whose errors name both.
package struct JSONCursor: Sendable {
    package let value: JSONValue
    package let file: String
    /// Keys from the document's root, such as `cache_schedule.schedule.003.7.attn1`; empty for the root.
    package let path: String

    package init(root value: JSONValue, file: String) {
        self.init(value: value, file: file, path: "")
    }

    private init(value: JSONValue, file: String, path: String) {
        self.value = value
        self.file = file
        self.path = path
    }

    /// The members of this object.
    package func members() throws(JSONError) -> [(key: String, cursor: JSONCursor)] {
        guard let object = value.object else { throw mismatch("an object") }
        return object.members.map { ($0.key, cursor($0.key, $0.value)) }
    }

    /// The member of this object with a key; nil if it is absent or null.
    package func optional(_ key: String) throws(JSONError) -> JSONCursor? {
        guard let object = value.object else { throw mismatch("an object") }
        guard let member = object[key], member != .null else { return nil }
        return cursor(key, member)
    }

    /// The member of this object with a key, which may be null.
    package func required(_ key: String, hint: String = "") throws(JSONError) -> JSONCursor {
        guard let object = value.object else { throw mismatch("an object") }
        guard let member = object[key] else { throw missing(key, hint: hint) }
        return cursor(key, member)
    }

    /// Rejects members with other keys.
    package func allowOnly(_ keys: [String]) throws(JSONError) {
        for (key, cursor) in try members() where !keys.contains(key) {
            throw .unknownKey(
                file: file, path: cursor.path, expected: keys.isEmpty ? "none" : keys.joined(separator: ", "))
        }
    }

    package func int(in range: ClosedRange<Int>) throws(JSONError) -> Int {
        guard let int = value.int, range.contains(int) else {
            throw mismatch("an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return int
    }

    package func double() throws(JSONError) -> Double {
        guard let double = value.double else { throw mismatch("a number") }
        return double
    }

    package func bool() throws(JSONError) -> Bool {
        guard let bool = value.bool else { throw mismatch("true or false") }
        return bool
    }

    package func string() throws(JSONError) -> String {
        guard let string = value.string else { throw mismatch("a string") }
        return string
    }

    package func object() throws(JSONError) -> JSONObject {
        guard let object = value.object else { throw mismatch("an object") }
        return object
    }

    /// The error for a value other than the expected one.
    package func mismatch(_ expected: String) -> JSONError {
        .unexpectedValue(file: file, path: path, found: summary, expected: expected)
    }

    private var summary: String {
        switch value {
        case .null: "null"
        case .bool(let bool): "\(bool)"
        case .number(let literal): literal
        case .string(let string): "\"\(string)\""
        case .array: "an array"
        case .object: "an object"
        }
    }

    package func missing(_ key: String, hint: String = "") -> JSONError {
        .missingKey(file: file, path: join(key), hint: hint)
    }

    private func cursor(_ key: String, _ value: JSONValue) -> JSONCursor {
        JSONCursor(value: value, file: file, path: join(key))
    }

    private func join(_ key: String) -> String { path.isEmpty ? key : path + "." + key }
}
