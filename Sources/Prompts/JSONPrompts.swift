import JSON

/// Parser of JSON prompt sets.
enum JSONPrompts {
    /// A JSON document.
    static func document(
        _ bytes: [UInt8], file: String
    ) throws(PromptSetError) -> (prompts: [Prompt], isCOCO: Bool) {
        switch try parse(bytes, file: file, line: nil) {
        case .array(let entries): return (try prompts(entries, "entry ", file), false)
        case .object(let object):
            if let annotations = object["annotations"]?.array {
                return (try prompts(annotations, "annotations ", file), true)
            }
            if let entries = object["prompts"]?.array { return (try prompts(entries, "prompts ", file), false) }
            guard
                object.members.contains(where: { member in
                    member.value.object.map { (try? text(of: $0)) != nil } ?? false
                })
            else { throw .unknownJSON(file: file) }
            var prompts: [Prompt] = []
            for member in object.members {
                prompts.append(try prompt(member.value, name: member.key, identifier: member.key, file))
            }
            return (prompts, false)
        default: throw .unknownJSON(file: file)
        }
    }

    /// A JSON value in every line that is not blank.
    static func lines(_ bytes: [UInt8], file: String) throws(PromptSetError) -> [Prompt] {
        var prompts: [Prompt] = []
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated()
        where line.contains(where: { ![0x20, 0x09, 0x0D].contains($0) }) {
            let entry = try parse(Array(line), file: file, line: index + 1)
            prompts.append(try prompt(entry, name: "line \(index + 1)", identifier: nil, file))
        }
        return prompts
    }

    /// Whether the first line is a whole JSON object and more lines follow.
    static func isJSONLines(_ bytes: [UInt8]) -> Bool {
        let lines = bytes.split(separator: 0x0A).filter { !$0.allSatisfy { [0x20, 0x09, 0x0D].contains($0) } }
        guard lines.count > 1, let first = try? JSONValue(parsing: Array(lines[0]), file: "") else { return false }
        return first.object != nil
    }

    private static func parse(_ bytes: [UInt8], file: String, line: Int?) throws(PromptSetError) -> JSONValue {
        do {
            return try JSONValue(parsing: bytes, file: file)
        } catch {
            guard case .syntax(_, let found, let column, let problem) = error else {
                throw .unreadable(file: file, problem: "\(error)")
            }
            throw .line(
                file: file, line: line ?? found,
                problem:
                    "invalid JSON at column \(column): \(problem) (a file of lines that begins with [ or { needs the "
                    + "format \"lines\")")
        }
    }

    private static func prompts(
        _ entries: [JSONValue], _ kind: String, _ file: String
    ) throws(PromptSetError) -> [Prompt] {
        var prompts: [Prompt] = []
        for (index, entry) in entries.enumerated() {
            prompts.append(try prompt(entry, name: "\(kind)\(index)", identifier: nil, file))
        }
        return prompts
    }

    private static func prompt(
        _ entry: JSONValue, name: String, identifier: String?, _ file: String
    ) throws(PromptSetError) -> Prompt {
        let object = entry.object ?? JSONObject()
        do throws(PromptField.Ambiguity) {
            let string = try text(of: object)
            guard let found = entry.string ?? string else {
                throw PromptField.Ambiguity(problem: "expected a string, or an object with \(PromptField.promptNames)")
            }
            guard let text = found.trimmedPrompt else {
                throw PromptField.Ambiguity(problem: "the prompt is empty; expected text")
            }
            let own = label(try value(of: .identifier, in: object))
            return Prompt(
                text: text, category: try value(of: .category, in: object)?.string?.trimmedPrompt,
                identifier: identifier ?? own,
                image: label(try value(of: .image, in: object)))
        } catch {
            throw .entry(file: file, entry: name, problem: error.problem)
        }
    }

    private static func text(of object: JSONObject) throws(PromptField.Ambiguity) -> String? {
        try value(of: .prompt, in: object)?.string
    }

    private static func value(
        of field: PromptField, in object: JSONObject
    ) throws(PromptField.Ambiguity) -> JSONValue? {
        try field.position(in: object.members.map(\.key)).map { object.members[$0].value }
    }

    private static func label(_ value: JSONValue?) -> String? { value.flatMap { $0.string ?? $0.int.map(String.init) } }
}
