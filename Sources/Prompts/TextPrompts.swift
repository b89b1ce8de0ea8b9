/// Parser of prompt lists and tables.
enum TextPrompts {
    /// One prompt per line.
    static func lines(_ bytes: [UInt8], file: String) throws(PromptSetError) -> [Prompt] {
        try validate(bytes, file)
        return bytes.split { $0 == 0x0A || $0 == 0x0D }.compactMap { line in
            String(decoding: line, as: UTF8.self).trimmedPrompt.map { Prompt(text: $0) }
        }
    }

    /// A table whose header names the column of prompts.
    static func table(_ bytes: [UInt8], format: PromptFormat, file: String) throws(PromptSetError) -> [Prompt] {
        try validate(bytes, file)
        var records = try records(bytes, format, file)[...].drop { $0.isBlank }
        guard let header = records.popFirst() else { return [] }
        func position(_ field: PromptField) throws(PromptSetError) -> Int? {
            do {
                return try field.position(in: header.fields)
            } catch {
                throw .line(file: file, line: header.line, problem: error.problem)
            }
        }
        guard let text = try position(.prompt) else {
            let names = header.fields.prefix(8).map { "\"\($0.prefix(40))\"" }.joined(separator: ", ")
            throw .line(
                file: file, line: header.line,
                problem:
                    "no column of prompts among \(names); expected a header with \(PromptField.promptNames), or the "
                    + "format \"lines\"")
        }
        let (identifier, image, category) = (
            try position(.identifier), try position(.image), try position(.category)
        )
        let required = [text, identifier ?? 0, image ?? 0, category ?? 0].max() ?? 0
        var prompts: [Prompt] = []
        for record in records where !record.isBlank {
            let fields = record.fields
            guard fields.count <= header.fields.count, fields.count > required else {
                throw .line(
                    file: file, line: record.line,
                    problem:
                        "\(fields.count) column\(fields.count == 1 ? "" : "s"); expected \(header.fields.count) as "
                        + "in the header")
            }
            guard let prompt = fields[text].trimmedPrompt else {
                throw .line(file: file, line: record.line, problem: "the prompt is empty; expected text")
            }
            prompts.append(
                Prompt(
                    text: prompt, category: category.flatMap { fields[$0].trimmedPrompt },
                    identifier: identifier.flatMap { fields[$0].trimmedPrompt },
                    image: image.flatMap { fields[$0].trimmedPrompt }))
        }
        return prompts
    }

    /// Whether the first line is a header, in a file whose name does not tell.
    ///
    /// - Throws: ``PromptSetError/line(file:line:problem:)`` if it may be a header or a prompt.
    static func detect(_ bytes: [UInt8], file: String) throws(PromptSetError) -> PromptFormat {
        let first = Array(bytes.prefix { $0 != 0x0A && $0 != 0x0D })
        for format in [PromptFormat.tsv, .csv] {
            guard let fields = try? records(first, format, file).first?.fields else { continue }
            let isHeader: Bool
            do {
                isHeader = try PromptField.prompt.position(in: fields) != nil
            } catch {
                isHeader = true
            }
            guard isHeader else { continue }
            let areNames = fields.allSatisfy { $0.trimmedPrompt?.contains(where: \.isWhitespace) == false }
            if fields.count > 1, format == .tsv || areNames { return format }
            throw .line(
                file: file, line: 1,
                problem:
                    "\"\(String(decoding: first.prefix(60), as: UTF8.self))\" may be a header or a prompt; expected "
                    + "the format to be given, \"csv\" or \"lines\"")
        }
        return .lines
    }

    private static func records(
        _ bytes: [UInt8], _ format: PromptFormat, _ file: String
    ) throws(PromptSetError) -> [DelimitedText.Record] {
        // PartiPrompts has prompts that begin with a quoted word.
        try DelimitedText.records(
            of: bytes, separator: UInt8(ascii: format == .tsv ? "\t" : ","), allowsQuotes: format == .csv, file: file)
    }

    private static func validate(_ bytes: [UInt8], _ file: String) throws(PromptSetError) {
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            guard String(validating: line, as: UTF8.self) != nil else {
                throw .line(file: file, line: index + 1, problem: "invalid UTF-8; expected UTF-8 text")
            }
            guard !line.contains(0) else {
                throw .line(file: file, line: index + 1, problem: "contains a null character; expected text")
            }
        }
    }
}

extension DelimitedText.Record {
    /// Whether the record has no text: a blank line, or the separators of an empty row of a spreadsheet.
    fileprivate var isBlank: Bool { fields.allSatisfy { $0.trimmedPrompt == nil } }
}
