import Foundation
import Models

/// A file with one prompt a line.
enum PromptLines {
    /// The prompts; empty lines are left out.
    ///
    /// - Throws: `ModelsError` that names the file.
    static func read(_ path: String) throws -> [String] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw ModelsError.missingFile(path: path, expected: "a UTF-8 file with one prompt a line")
        }
        let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty }
        guard !lines.isEmpty else {
            throw ModelsError.invalidArgument("\(path): no prompts; expected one prompt a line")
        }
        return lines
    }
}
