import FoundationEssentials
import JSON

/// Parser of JSON prompt sets.
enum JSONPrompts {
    static func read(
        _ bytes: [UInt8], file: String
    ) throws(PromptSetError) -> (format: PromptSet.Format, prompts: [Prompt]) {
        switch try document(bytes, file) {
        case .array(let entries):
            var prompts: [Prompt] = []
            for (index, entry) in entries.enumerated() {
                prompts.append(try prompt(entry, key: "prompt", name: "entry \(index)", identifier: nil, file))
            }
            return (.imageReward, prompts)
        case .object(let object):
            if let annotations = object["annotations"]?.array {
                var prompts: [Prompt] = []
                for (index, entry) in annotations.enumerated() {
                    prompts.append(
                        try prompt(entry, key: "caption", name: "annotations[\(index)]", identifier: nil, file))
                }
                return (.coco, prompts)
            }
            guard object.members.contains(where: { $0.value.object?["prompt"] != nil }) else {
                throw .unknownJSON(file: file)
            }
            var prompts: [Prompt] = []
            for (key, value) in object.members.map({ ($0.key, $0.value) }) {
                prompts.append(try prompt(value, key: "prompt", name: key, identifier: key, file))
            }
            return (.mjhq, prompts)
        default: throw .unknownJSON(file: file)
        }
    }

    private static func document(_ bytes: [UInt8], _ file: String) throws(PromptSetError) -> JSONValue {
        do {
            return try JSONValue(parsing: bytes, file: file)
        } catch {
            guard case .syntax(_, let line, let column, let problem) = error else {
                throw .unreadable(file: file, reason: "\(error)")
            }
            throw .line(
                file: file, line: line,
                problem:
                    "invalid JSON at column \(column): \(problem) (files that begin with [ or { are parsed as JSON)")
        }
    }

    private static func prompt(
        _ entry: JSONValue, key: String, name: String, identifier: String?, _ file: String
    ) throws(PromptSetError) -> Prompt {
        guard let object = entry.object, let text = object[key]?.string else {
            throw .entry(file: file, entry: name, problem: "expected an object with a string \"\(key)\"")
        }
        guard let text = text.trimmedPrompt else {
            throw .entry(file: file, entry: name, problem: "\"\(key)\" is empty; expected a prompt")
        }
        let id = object["id"].flatMap { $0.string ?? $0.int.map(String.init) }
        return Prompt(text: text, category: object["category"]?.string?.trimmedPrompt, identifier: identifier ?? id)
    }
}

extension StringProtocol {
    /// The text without surrounding white space; nil if it is blank.
    var trimmedPrompt: String? {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return nil }
        return String(self[first...last])
    }
}
