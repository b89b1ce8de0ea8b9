import Prompts

/// What pairs images with prompts.
public enum PairingRule: String, Sendable, Codable, CaseIterable {
    /// The number in the file name is the position of the prompt, from 0, as `ecad generate` writes it.
    case index
    /// The number in the file name is the position of the prompt, from 1.
    case number
    /// The file name is the identifier of the prompt.
    case id
    /// The file name is the identifier or file name of the image that the prompt describes, as in COCO.
    case imageID = "image-id"
    /// The natural order of the file names is that of the prompts.
    case order

    /// The rule in words.
    public var summary: String {
        switch self {
        case .index: "the number in the file name, counted from 0"
        case .number: "the number in the file name, counted from 1"
        case .id: "the prompt's identifier in the file name"
        case .imageID: "the image's identifier in the file name"
        case .order: "the natural order of the file names, which contain neither numbers nor identifiers"
        }
    }
}

/// The prompt of each image of a directory.
public struct PromptPairing: Sendable {
    /// The rule that applied.
    public let rule: PairingRule
    /// Texts in the order of the images.
    public let texts: [String]
    /// Number of prompts without an image.
    public let unpairedCount: Int

    /// Pairs by what the names say; by their order only if they contain neither numbers nor identifiers.
    ///
    /// Without a given rule, numbers must be complete: from 0 or from 1, and as many as there are prompts. Several images
    /// of a prompt must be named with different seeds.
    ///
    /// - Throws: ``ScoringError/pairing(_:)`` if the names can be paired in no way or in several.
    public init(_ folder: ImageFolder, with set: PromptSet, rule: PairingRule? = nil) throws {
        let pairing = Pairer(folder: folder.path, names: folder.names.map(ImageName.init), prompts: set.prompts)
        let found = try rule.map { ($0, try pairing.positions(by: $0)) } ?? pairing.detect(format: set.format)
        self.rule = found.0
        try pairing.rejectDuplicates(found.1)
        texts = found.1.map { set.prompts[$0].text }
        unpairedCount = Set(set.prompts.indices).subtracting(found.1).count
    }
}

/// The rules, applied to the names of a directory; results are positions of prompts in the order of the names.
private struct Pairer {
    let folder: String
    let names: [ImageName]
    let prompts: [Prompt]

    func detect(format: PromptFormat) throws -> (PairingRule, [Int]) {
        var found: [(PairingRule, [Int])] = []
        // COCO's images are named after their own identifiers; those of the captions are from the same range.
        for rule in format == .coco ? [PairingRule.imageID, .id] : [.id, .imageID] {
            if found.isEmpty || format != .coco, matchCount(rule) == names.count {
                found.append((rule, try positions(by: rule)))
            }
        }
        let numbers: ImageName.Numbers?
        do {
            numbers = try ImageName.numbers(of: names, folder: folder)
        } catch {
            guard let first = found.first else { throw error }
            return first
        }
        if let numbers, let rule = completeRule(numbers) { found.append((rule, try positions(by: rule))) }
        if let first = found.first {
            if let other = found.first(where: { texts($0.1) != texts(first.1) }) {
                throw ScoringError.pairing(
                    "\(folder): the names pair images with prompts by \(first.0.summary) and, differently, by "
                        + "\(other.0.summary); expected the rule to be given, \"\(first.0.rawValue)\" or "
                        + "\"\(other.0.rawValue)\"")
            }
            return first
        }
        if let numbers { throw incomplete(numbers) }
        for rule in [PairingRule.id, .imageID] where matchCount(rule) > 0 { _ = try positions(by: rule) }
        return (.order, try positions(by: .order))
    }

    func positions(by rule: PairingRule) throws -> [Int] {
        switch rule {
        case .index, .number:
            let first = rule == .index ? 0 : 1
            guard let numbers = try ImageName.numbers(of: names, folder: folder) else {
                throw ScoringError.pairing(
                    "\(folder)/\(names[0].file): the name has no number; expected \(first) to \(prompts.count - 1 + first)"
                )
            }
            return try zip(names, numbers.values).map { name, number in
                guard prompts.indices.contains(number - first) else {
                    throw ScoringError.pairing(
                        "\(folder)/\(name.file): no prompt \(number); expected \(first) to \(prompts.count - 1 + first)"
                    )
                }
                return number - first
            }
        case .id, .imageID:
            let table = identifiers(rule)
            return try names.map { name in
                let found = table.matches(identifier(name, rule))
                guard let position = found.first else {
                    throw ScoringError.pairing(
                        "\(folder)/\(name.file): no prompt has the \(rule.rawValue) \"\(identifier(name, rule))\"; expected "
                            + "an image named after the \(rule.rawValue) of its prompt")
                }
                guard found.count == 1 else {
                    throw ScoringError.pairing(
                        "\(folder)/\(name.file): \(found.count) prompts have the \(rule.rawValue) "
                            + "\"\(identifier(name, rule))\"; expected one")
                }
                return position
            }
        case .order:
            var positions: [String: Int] = [:]
            for name in names where positions[name.base] == nil { positions[name.base] = positions.count }
            guard positions.count == prompts.count else {
                throw ScoringError.pairing(
                    "\(folder): \(positions.count) images and \(prompts.count) prompts; expected equal numbers, or images "
                        + "named after the prompt's position (00000.png) or identifier")
            }
            return names.compactMap { positions[$0.base] }
        }
    }

    /// Several images of a prompt must differ in their seeds.
    func rejectDuplicates(_ positions: [Int]) throws {
        var seen: [Int: [[String]: String]] = [:]
        for (name, position) in zip(names, positions) {
            let others = seen[position] ?? [:]
            if let other = others[name.seeds] ?? (name.seeds.isEmpty ? others.values.first : others[[]]) {
                throw ScoringError.pairing(
                    "\(folder): \(other) and \(name.file) have the same prompt, number \(position) from 0; expected one "
                        + "image per prompt, or names with different seeds such as _seed3")
            }
            seen[position, default: [:]][name.seeds] = name.file
        }
    }

    /// The rule by which the numbers are those of all prompts; nil if some are missing or in excess.
    private func completeRule(_ numbers: ImageName.Numbers) -> PairingRule? {
        let distinct = Set(numbers.values)
        guard distinct.count == prompts.count else { return nil }
        if distinct == Set(prompts.indices) { return .index }
        return !numbers.countFromZero && distinct == Set(prompts.indices.map { $0 + 1 }) ? .number : nil
    }

    private func incomplete(_ numbers: ImageName.Numbers) -> ScoringError {
        let distinct = Set(numbers.values)
        let first = numbers.countFromZero || distinct.contains(0) || !distinct.contains(prompts.count) ? 0 : 1
        let expected = first..<(prompts.count + first)
        let range = "\(first) to \(expected.upperBound - 1)"
        let unknown = zip(names, numbers.values).first { !expected.contains($0.1) }
        if let unknown {
            return .pairing(
                "\(folder)/\(unknown.0.file): no prompt \(unknown.1) among \(prompts.count); expected the numbers \(range), "
                    + "each with an image")
        }
        let missing = expected.filter { !distinct.contains($0) }
        return .pairing(
            "\(folder): \(missing.count) of \(prompts.count) prompts have no image, the first is number "
                + "\(missing.first ?? first); expected the numbers \(range), or the rule to be given, \"index\" (from 0) or "
                + "\"number\" (from 1)")
    }

    private func texts(_ positions: [Int]) -> [String] { positions.map { prompts[$0].text } }

    private func identifier(_ name: ImageName, _ rule: PairingRule) -> String {
        rule == .id ? name.identifier : name.imageIdentifier
    }

    private func matchCount(_ rule: PairingRule) -> Int {
        let table = identifiers(rule)
        return names.count { !table.matches(identifier($0, rule)).isEmpty }
    }

    private func identifiers(_ rule: PairingRule) -> IdentifierTable {
        IdentifierTable(prompts.map { rule == .id ? $0.identifier : $0.image.map(Self.imageStem) })
    }

    /// An image's identifier, or its file name without directory and extension.
    private static func imageStem(_ image: String) -> String {
        stem(String(image.split(separator: "/").last ?? image[...]))
    }
}

/// Positions of prompts by identifier.
private struct IdentifierTable {
    private var exact: [String: [Int]] = [:]
    /// Without the leading zeros of numbers: COCO's image 42 is `000000000042.jpg`.
    private var canonical: [String: [Int]] = [:]

    init(_ identifiers: [String?]) {
        for (position, identifier) in identifiers.enumerated() {
            guard let identifier else { continue }
            exact[identifier, default: []].append(position)
            canonical[Self.canonical(identifier), default: []].append(position)
        }
    }

    func matches(_ name: String) -> [Int] { exact[name] ?? canonical[Self.canonical(name)] ?? [] }

    private static func canonical(_ text: String) -> String {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }) else { return text }
        return String(text.dropLast().drop { $0 == "0" } + text.suffix(1))
    }
}
