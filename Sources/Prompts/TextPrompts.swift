/// Parser of prompt lists and tables.
enum TextPrompts {
    static func read(
        _ bytes: [UInt8], file: String
    ) throws(PromptSetError) -> (format: PromptSet.Format, prompts: [Prompt]) {
        var lines: [(number: Int, text: String)] = []
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            guard let text = String(validating: line, as: UTF8.self) else {
                throw .line(file: file, line: index + 1, problem: "invalid UTF-8; expected UTF-8 text")
            }
            guard !text.unicodeScalars.contains(where: { $0.value == 0 }) else {
                throw .line(file: file, line: index + 1, problem: "contains a null character; expected text")
            }
            lines.append((index + 1, text.hasSuffix("\r") ? String(text.unicodeScalars.dropLast()) : text))
        }
        if let first = lines.first, let table = Table(header: first.text) {
            return (table.format, try table.prompts(in: lines.dropFirst(), file: file))
        }
        return (.lines, lines.compactMap { $0.text.trimmedPrompt.map { Prompt(text: $0) } })
    }

    /// A table with a header row whose first column is the prompt.
    private struct Table {
        let format: PromptSet.Format
        private let separator: Character
        private let columnCount: Int
        private let category: Int

        /// Nil if the row is not a header.
        init?(header: String) {
            for (separator, format) in [("\t", PromptSet.Format.partiPrompts), (",", .drawBench)] {
                let names = header.split(separator: Character(separator), omittingEmptySubsequences: false)
                    .compactMap { $0.trimmedPrompt?.lowercased() }
                guard let first = names.first, ["prompt", "prompts"].contains(first),
                    let category = names.firstIndex(of: "category")
                else { continue }
                self.format = format
                self.separator = Character(separator)
                columnCount = names.count
                self.category = category
                return
            }
            return nil
        }

        func prompts(
            in lines: some Sequence<(number: Int, text: String)>, file: String
        ) throws(PromptSetError) -> [Prompt] {
            var prompts: [Prompt] = []
            for line in lines where line.text.trimmedPrompt != nil {
                guard let cells = cells(of: line.text) else {
                    throw .line(
                        file: file, line: line.number, problem: "unterminated quoted column; expected a closing \"")
                }
                guard cells.count <= columnCount, cells.count > category else {
                    throw .line(
                        file: file, line: line.number,
                        problem: "\(cells.count) columns; expected \(columnCount) as in the header")
                }
                guard let text = cells[0].trimmedPrompt else {
                    throw .line(file: file, line: line.number, problem: "the prompt is empty; expected text")
                }
                prompts.append(Prompt(text: text, category: cells[category].trimmedPrompt))
            }
            return prompts
        }

        /// The columns of a row, or nil if a quoted column is not terminated.
        ///
        /// Quotes are only special in CSV: PartiPrompts has prompts that begin with a quoted word.
        private func cells(of row: String) -> [String]? {
            guard separator == "," else {
                return row.split(separator: separator, omittingEmptySubsequences: false).map(String.init)
            }
            var cells = [""]
            var isQuoted = false
            var rest = Substring(row)
            while let character = rest.popFirst() {
                switch character {
                case "\"" where isQuoted && rest.first == "\"":
                    rest.removeFirst()
                    cells[cells.count - 1].append("\"")
                case "\"" where isQuoted || cells[cells.count - 1].isEmpty: isQuoted.toggle()
                case separator where !isQuoted: cells.append("")
                default: cells[cells.count - 1].append(character)
                }
            }
            return isQuoted ? nil : cells
        }
    }
}
