import Foundation

/// What the name of a generated image says.
struct ImageName {
    /// The file name.
    let file: String
    /// The name without its extension and the seeds at its end.
    let base: String
    /// The seeds at its end, such as those of `_seed3` and `__prompt_seed:000__image_seed:003`; empty without.
    let seeds: [String]

    init(_ file: String) {
        self.file = file
        var base = stem(file)[...]
        var seeds: [String] = []
        while true {
            let digits = base.reversed().prefix { $0.isASCIIDigit }.count
            var rest = base.dropLast(digits)
            if let last = rest.last, ":=_- ".contains(last) { rest = rest.dropLast() }
            guard digits > 0, rest.lowercased().hasSuffix("seed") else { break }
            rest = rest.dropLast("seed".count)
            for label in ["image_", "prompt_"] where rest.lowercased().hasSuffix(label) {
                rest = rest.dropLast(label.count)
            }
            while let last = rest.last, "_-. ".contains(last) { rest = rest.dropLast() }
            guard !rest.isEmpty else { break }
            seeds.append(String(base.suffix(digits)))
            base = rest
        }
        self.base = String(base)
        self.seeds = seeds
    }

    /// The identifier after `__prompt_id:`, as ECAD names images; otherwise the whole base.
    var identifier: String { base.range(of: "__prompt_id:").map { String(base[$0.upperBound...]) } ?? base }

    /// The identifier of an image: the base without COCO's prefix, `COCO_val2014_`.
    var imageIdentifier: String {
        let parts = base.split(separator: "_", omittingEmptySubsequences: false)
        return parts.count == 3 && parts[0] == "COCO" ? String(parts[2]) : base
    }

    /// The number at the beginning; nil without or above 18 digits.
    private var leadingNumber: Int? {
        let digits = base.prefix { $0.isASCIIDigit }
        return digits.count > 18 ? nil : Int(digits)
    }

    /// The alternating parts of text and digits.
    private var parts: [Substring] {
        var parts: [Substring] = []
        var rest = base[...]
        while let first = rest.first {
            let part = rest.prefix { $0.isASCIIDigit == first.isASCIIDigit }
            parts.append(part)
            rest = rest.dropFirst(part.count)
        }
        return parts
    }

    /// Numbers of images, and whether their format counts from 0.
    typealias Numbers = (values: [Int], countFromZero: Bool)

    /// The number of each image; nil if the names are not numbered.
    ///
    /// - Throws: ``ScoringError/pairing(_:)`` if several numbers vary, or only some names are numbered.
    static func numbers(of names: [ImageName], folder: String) throws -> Numbers? {
        let leading = names.compactMap(\.leadingNumber)
        let areLeading = leading.count == names.count
        // ECAD: 1000__prompt_id:005695-0057__prompt_seed:000__image_seed:003.
        if areLeading, names.allSatisfy({ $0.base.drop { $0.isASCIIDigit }.hasPrefix("__") }) { return (leading, true) }
        let parts = names.map(\.parts)
        let texts = parts.map { $0.map { $0.first?.isASCIIDigit == true ? "0" : $0 } }
        if Set(texts).count == 1 {
            let positions = texts[0].indices.filter { texts[0][$0] == "0" }
            let varying = positions.filter { position in parts.contains { $0[position] != parts[0][position] } }
            let candidates = varying.isEmpty ? positions : varying
            guard candidates.count < 2 else {
                throw ScoringError.pairing(
                    "\(folder): \(names[0].file) has \(candidates.count) numbers; expected one, that of the prompt, and "
                        + "a seed such as _seed3 for several images per prompt")
            }
            guard let position = candidates.first else { return nil }
            let values = parts.compactMap { $0[position].count > 18 ? nil : Int($0[position]) }
            return values.count == names.count ? (values, false) : nil
        }
        if areLeading { return (leading, false) }
        // Some names are numbered and others are not: their order says nothing.
        let groups = Dictionary(grouping: names.indices) { texts[$0] }
        if let group = groups.first(where: { $0.key == ["0"] || $0.key.contains("0") && $0.value.count > 1 }),
            let other = names.indices.first(where: { !group.value.contains($0) })
        {
            throw ScoringError.pairing(
                "\(folder): \(names[group.value[0]].file) is numbered and \(names[other].file) is named otherwise; "
                    + "expected names of one form")
        }
        return nil
    }
}

extension Character {
    /// Whether the character is one of 0 to 9.
    fileprivate var isASCIIDigit: Bool { "0" <= self && self <= "9" && isASCII }
}
