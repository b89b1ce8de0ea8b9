import Foundation
import History

/// How the rows of a query are printed.
public enum TableFormat: String, Sendable, CaseIterable {
    /// Columns aligned with spaces, for people.
    case table
    /// Comma-separated values (RFC 4180).
    case csv
    /// An array of objects.
    case json
    /// A table of Markdown.
    case markdown

    /// The text of a query's result, ending in a line break.
    ///
    /// - Throws: `EncodingError` for values that JSON cannot hold.
    public func print(_ result: QueryResult) throws -> String {
        let cells = result.rows.map { $0.map(\.text) }
        switch self {
        case .table: return Self.aligned([result.columns] + cells, numeric: Self.numericColumns(result))
        case .csv:
            return ([result.columns] + cells).map { $0.map(Self.csvField).joined(separator: ",") + "\r\n" }.joined()
        case .json: return try Self.json(result) + "\n"
        case .markdown:
            let rule = result.columns.map { _ in "---" }
            return ([result.columns, rule] + cells).map { row in
                "| " + row.map { $0.replacingOccurrences(of: "|", with: "\\|") }.joined(separator: " | ") + " |\n"
            }.joined()
        }
    }

    static func aligned(_ rows: [[String]], numeric: [Bool]) -> String {
        let widths = numeric.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let line = row.enumerated().map { column, text in
                let padding = String(repeating: " ", count: widths[column] - text.count)
                return numeric[column] ? padding + text : text + padding
            }.joined(separator: "  ")
            return line.replacingOccurrences(of: " +$", with: "", options: .regularExpression) + "\n"
        }.joined()
    }

    private static func numericColumns(_ result: QueryResult) -> [Bool] {
        result.columns.indices.map { column in
            result.rows.allSatisfy { row in
                switch row[column] {
                case .integer, .real, .null: true
                default: false
                }
            }
        }
    }

    private static func csvField(_ text: String) -> String {
        guard text.contains(where: { ",\"\r\n".contains($0) }) else { return text }
        return "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }

    private static func json(_ result: QueryResult) throws -> String {
        let objects = try result.rows.map { row in
            let members = try zip(result.columns, row).map { "\(try encoded($0)): \(try $1.json())" }
            return "{" + members.joined(separator: ", ") + "}"
        }
        return "[" + objects.joined(separator: ",\n ") + "]"
    }

    fileprivate static func encoded(_ text: String) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return String(decoding: try encoder.encode(text), as: UTF8.self)
    }
}

extension QueryValue {
    /// The value for people; bytes as hexadecimal digits.
    fileprivate var text: String {
        switch self {
        case .null: ""
        case .integer(let value): "\(value)"
        case .real(let value): "\(value)"
        case .text(let value): value
        case .blob(let bytes): bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        }
    }

    fileprivate func json() throws -> String {
        switch self {
        case .null: "null"
        case .integer(let value): "\(value)"
        case .real(let value): value.isFinite ? "\(value)" : "null"
        case .text, .blob: try TableFormat.encoded(text)
        }
    }
}
