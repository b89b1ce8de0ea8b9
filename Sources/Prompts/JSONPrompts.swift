import FoundationEssentials
import JSON

/// Prompts in JSON documents.
enum JSONPrompts {
    static func read(
        _ bytes: [UInt8], file: String
    ) throws(PromptSetError) -> (format: PromptSet.Format, prompts: [Prompt]) {
        switch try document(bytes, file) {
        case .array(let entries):
            var prompts: [Prompt] = []
            for (index, entry) in entries.enumerated() {
                prompts.append(try prompt(entry, key: "prompt", name: "entry \(index)", identity: nil, file))
            }
            return (.imageReward, prompts)
        case .object(let object):
            if let annotations = object["annotations"]?.array {
                var prompts: [Prompt] = []
                for (index, entry) in annotations.enumerated() {
                    prompts.append(
                        try prompt(entry, key: "caption", name: "annotations[\(index)]", identity: nil, file))
                }
                return (.coco, prompts)
            }
            guard object.members.contains(where: { $0.value.object?["prompt"] != nil }) else {
                throw .unknownJSON(file: file)
            }
            var prompts: [Prompt] = []
            for (key, value) in object.members.map({ ($0.key, $0.value) }) {
                prompts.append(try prompt(value, key: "prompt", name: key, identity: key, file))
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
                    "not valid JSON at column \(column): \(problem) (a file that begins with [ or { is read as JSON)")
        }
    }

    private static func prompt(
        _ entry: JSONValue, key: String, name: String, identity: String?, _ file: String
    ) throws(PromptSetError) -> Prompt {
        guard let object = entry.object, let text = object[key]?.string else {
            throw .entry(file: file, entry: name, problem: "expected an object with a text \"\(key)\"")
        }
        guard let text = text.trimmedPrompt else {
            throw .entry(file: file, entry: name, problem: "\"\(key)\" is empty: expected a prompt")
        }
        let id = object["id"].flatMap { $0.string ?? $0.int.map(String.init) }
        return Prompt(text: text, category: object["category"]?.string?.trimmedPrompt, identity: identity ?? id)
    }
}

extension StringProtocol {
    /// The text without white space around it; nil if nothing is left.
    var trimmedPrompt: String? {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return nil }
        return String(self[first...last])
    }
}
