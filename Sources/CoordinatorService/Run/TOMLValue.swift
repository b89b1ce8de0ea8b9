/// A value of a TOML document.
///
/// Tables are not among them: a document is read as a flat list of dotted keys.
enum TOMLValue: Equatable {
    case string(String)
    case integer(Int)
    case float(Double)
    case bool(Bool)
    case list([TOMLValue])

    /// The text of a string.
    var string: String? { if case .string(let text) = self { text } else { nil } }

    /// An integer, or a float that is one.
    var integer: Int? {
        switch self {
        case .integer(let number): number
        case .float(let number): Int(exactly: number)
        default: nil
        }
    }

    /// An integer or a float.
    var number: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .float(let number): number
        default: nil
        }
    }
}

extension TOMLValue: CustomStringConvertible {
    /// What an error says was found.
    var description: String {
        switch self {
        case .string(let text): text.debugDescription
        case .integer(let number): "\(number)"
        case .float(let number): "\(number)"
        case .bool(let flag): "\(flag)"
        case .list: "a list"
        }
    }
}

/// Where a text stops being TOML, and why.
struct TOMLError: Error, Equatable, CustomStringConvertible {
    /// From 1 on; columns count characters.
    let line: Int
    let column: Int
    let problem: String

    /// One line.
    var description: String { "line \(line), column \(column): \(problem)" }
}
