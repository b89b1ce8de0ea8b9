import Foundation
import Prompts

/// The images of a folder, in the order of their names.
public struct ImageFolder: Sendable {
    /// The folder.
    public let path: String
    /// The names of its PNG and JPEG files, sorted by their bytes.
    public let names: [String]

    /// Looks into a folder, not into those inside it; names that begin with a dot are left out.
    ///
    /// - Parameter path: The folder.
    /// - Throws: ``ScoringError/noImages(folder:)`` if it cannot be read or holds none.
    public init(path: String) throws {
        self.path = path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        self.names = names.filter { name in
            let lowered = name.lowercased()
            return !name.hasPrefix(".") && [".png", ".jpg", ".jpeg"].contains { lowered.hasSuffix($0) }
        }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        guard !self.names.isEmpty else { throw ScoringError.noImages(folder: path) }
    }

    /// A file's path.
    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// The prompt of each image.
    ///
    /// Where every name without its ending is a prompt's identity in its set, these pair. Else, where every one is a number,
    /// as `ecad generate` names its images, it is the prompt's position in the file, from 0. Else there must be as many
    /// prompts as images, which pair in order.
    ///
    /// - Parameter prompts: The prompts.
    /// - Returns: One text for each name.
    /// - Throws: ``ScoringError/pairing(_:)``.
    public func pair(with prompts: PromptSet) throws -> [String] {
        let stems = names.map { String($0[..<($0.lastIndex(of: ".") ?? $0.endIndex)]) }
        var texts: [String: String] = [:]
        for prompt in prompts.prompts { if let identity = prompt.identity { texts[identity] = prompt.text } }
        let identified = stems.compactMap { texts[$0] }
        if identified.count == stems.count { return identified }
        let numbers = stems.compactMap { stem in stem.utf8.allSatisfy { (48...57).contains($0) } ? Int(stem) : nil }
        if numbers.count == stems.count {
            let count = prompts.prompts.count
            if let index = numbers.firstIndex(where: { $0 >= count }) {
                throw ScoringError.pairing(
                    "\(file(names[index])): there is no prompt \(numbers[index]); the file has \(count), numbered from 0"
                )
            }
            return numbers.map { prompts.prompts[$0].text }
        }
        guard prompts.prompts.count == names.count else {
            throw ScoringError.pairing(
                "\(path): \(names.count) images and \(prompts.prompts.count) prompts; expected as many of both, or images "
                    + "named by their prompt's position (00000.png) or its identity in the set")
        }
        return prompts.texts
    }
}
