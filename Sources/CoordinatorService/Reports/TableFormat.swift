import Basics
import Foundation
import History
import JSON

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
    public func print(_ result: QueryResult) -> String {
        let cells = result.rows.map { $0.map(\.text) }
        switch self {
        case .table: return alignedTable([result.columns] + cells, isNumeric: Self.numericColumns(result))
        case .csv:
            return ([result.columns] + cells).map { $0.map(Self.csvField).joined(separator: ",") + "\r\n" }.joined()
        case .json: return Self.json(result) + "\n"
        case .markdown:
            let rule = result.columns.map { _ in "---" }
            return ([result.columns, rule] + cells).map { row in
                "| " + row.map { $0.replacingOccurrences(of: "|", with: "\\|") }.joined(separator: " | ") + " |\n"
            }.joined()
        }
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

    /// One line for each row.
    private static func json(_ result: QueryResult) -> String {
        let objects = result.rows.map { row in
            let members = zip(result.columns, row).map { JSONObject.Member(key: $0, value: $1.json) }
            return JSONValue.object(JSONObject(distinct: members)).text(.singleLine, escapesNonASCII: false)
        }
        return "[" + objects.joined(separator: ",\n ") + "]"
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
        case .blob(let bytes): bytes.hexadecimal
        }
    }

    fileprivate var json: JSONValue {
        switch self {
        case .null: .null
        case .integer(let value): .number("\(value)")
        case .real(let value): value.isFinite ? .number("\(value)") : .null
        case .text, .blob: .string(text)
        }
    }
}
