/// What a column of a table or a member of a JSON object holds, by its name in the published sets; case is ignored.
enum PromptField {
    case prompt, identifier, image, category

    /// Names in order of precedence; two columns whose names have equal precedence are ambiguous.
    private var names: [[String]] {
        switch self {
        case .prompt: [["prompt", "prompts"], ["caption", "captions", "text", "texts"]]
        case .identifier: [["id"], ["prompt_id"]]
        case .image: [["image_id"], ["file_name", "filename"]]
        case .category: [["category"]]
        }
    }

    /// The names of a prompt, for messages.
    static let promptNames = "\"prompt\", \"caption\" or \"text\""

    /// Names that denote the same field.
    struct Ambiguity: Error {
        let problem: String
    }

    /// The position of the field among the names of columns or members; nil if there is none.
    func position(in columns: [String]) throws(Ambiguity) -> Int? {
        let columns = columns.map { $0.trimmedPrompt?.lowercased() ?? "" }
        for group in names {
            let found = columns.indices.filter { group.contains(columns[$0]) }
            guard found.count < 2 else {
                let list = found.map { "\"\(columns[$0])\"" }.joined(separator: " and ")
                throw Ambiguity(problem: "both \(list) may hold the \(self); expected one of them")
            }
            if let position = found.first { return position }
        }
        return nil
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
