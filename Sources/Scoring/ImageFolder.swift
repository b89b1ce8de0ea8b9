import Foundation
import Prompts

/// A directory of PNG and JPEG images, sorted by name.
public struct ImageFolder: Sendable {
    /// Path of the directory.
    public let path: String
    /// File names in byte order.
    public let names: [String]

    /// Lists a directory without its subdirectories and hidden files.
    ///
    /// - Throws: ``ScoringError/noImages(folder:)`` if it cannot be read or contains no images.
    public init(path: String) throws {
        self.path = path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        self.names = names.filter { name in
            let lowered = name.lowercased()
            return !name.hasPrefix(".") && [".png", ".jpg", ".jpeg"].contains { lowered.hasSuffix($0) }
        }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        guard !self.names.isEmpty else { throw ScoringError.noImages(folder: path) }
    }

    /// Path of an image.
    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Assigns a prompt to each image.
    ///
    /// If every file name without extension is the identifier of a prompt in the set, images are paired by identifier.
    /// Otherwise, if every name is a number, as `ecad generate` writes them, it is the zero-based index of the prompt.
    /// Otherwise there must be as many prompts as images, which are paired in order.
    ///
    /// - Throws: ``ScoringError/pairing(_:)`` if none of these applies.
    public func pair(with prompts: PromptSet) throws -> [String] {
        let stems = names.map { String($0[..<($0.lastIndex(of: ".") ?? $0.endIndex)]) }
        var texts: [String: String] = [:]
        for prompt in prompts.prompts { if let identifier = prompt.identifier { texts[identifier] = prompt.text } }
        let matched = stems.compactMap { texts[$0] }
        if matched.count == stems.count { return matched }
        let numbers = stems.compactMap { stem in stem.utf8.allSatisfy { (48...57).contains($0) } ? Int(stem) : nil }
        if numbers.count == stems.count {
            let count = prompts.prompts.count
            if let index = numbers.firstIndex(where: { $0 >= count }) {
                throw ScoringError.pairing(
                    "\(file(names[index])): no prompt \(numbers[index]); expected 0 to \(count - 1), an index in the prompt file"
                )
            }
            return numbers.map { prompts.prompts[$0].text }
        }
        guard prompts.prompts.count == names.count else {
            throw ScoringError.pairing(
                "\(path): \(names.count) images and \(prompts.prompts.count) prompts; expected equal numbers, or images named "
                    + "after the prompt's index (00000.png) or identifier")
        }
        return prompts.texts
    }
}
