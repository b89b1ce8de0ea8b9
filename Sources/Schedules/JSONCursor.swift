/// A place in a JSON document, which can say in errors what and where it is.
struct JSONCursor {
    let value: JSONValue
    let file: String
    /// Keys from the document's root, as in `cache_schedule.schedule.003.7.attn1`.
    let path: String

    init(root value: JSONValue, file: String) {
        self.init(value: value, file: file, path: "")
    }

    private init(value: JSONValue, file: String, path: String) {
        self.value = value
        self.file = file
        self.path = path
    }

    /// The members of the object that must stand here.
    func members() throws(SchedulesError) -> [(key: String, cursor: JSONCursor)] {
        guard let object = value.object else { throw mismatch("an object") }
        return object.members.map { ($0.key, cursor($0.key, $0.value)) }
    }

    /// The member of the object that must stand here, if it is there and not null.
    func optional(_ key: String) throws(SchedulesError) -> JSONCursor? {
        guard let object = value.object else { throw mismatch("an object") }
        guard let member = object[key], member != .null else { return nil }
        return cursor(key, member)
    }

    /// The member that must be there.
    func required(_ key: String, hint: String = "") throws(SchedulesError) -> JSONCursor {
        guard let object = value.object else { throw mismatch("an object") }
        guard let member = object[key] else { throw missing(key, hint: hint) }
        return cursor(key, member)
    }

    /// Refuses members with other keys.
    func allowOnly(_ keys: [String]) throws(SchedulesError) {
        for (key, cursor) in try members() where !keys.contains(key) {
            throw .unknownKey(
                file: file, path: cursor.path, expected: keys.isEmpty ? "none" : keys.joined(separator: ", "))
        }
    }

    func int(in range: ClosedRange<Int>) throws(SchedulesError) -> Int {
        guard let int = value.int, range.contains(int) else {
            throw mismatch("an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return int
    }

    func double() throws(SchedulesError) -> Double {
        guard let double = value.double else { throw mismatch("a number") }
        return double
    }

    func bool() throws(SchedulesError) -> Bool {
        guard let bool = value.bool else { throw mismatch("true or false") }
        return bool
    }

    func string() throws(SchedulesError) -> String {
        guard let string = value.string else { throw mismatch("a string") }
        return string
    }

    func object() throws(SchedulesError) -> JSONObject {
        guard let object = value.object else { throw mismatch("an object") }
        return object
    }

    func mismatch(_ expected: String) -> SchedulesError {
        let found =
            switch value {
            case .null: "null"
            case .bool(let bool): "\(bool)"
            case .number(let literal): literal
            case .string(let string): "\"\(string)\""
            case .array: "an array"
            case .object: "an object"
            }
        return .unexpectedValue(
            file: file, path: path.isEmpty ? "the document" : path, expected: expected, found: found)
    }

    func missing(_ key: String, hint: String = "") -> SchedulesError {
        .missingKey(file: file, path: join(key), hint: hint)
    }

    private func cursor(_ key: String, _ value: JSONValue) -> JSONCursor {
        JSONCursor(value: value, file: file, path: join(key))
    }

    private func join(_ key: String) -> String { path.isEmpty ? key : path + "." + key }
}
