import Foundation
import History

/// The output format of a query.
public enum TableFormat: String, Sendable, CaseIterable {
    /// Columns aligned with spaces.
    case table
    /// Comma-separated values (RFC 4180).
    case csv
    /// An array of objects.
    case json
    /// A Markdown table.
    case markdown

    /// Formats a query result; the text ends in a newline.
    ///
    /// - Throws: `EncodingError`.
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

    /// Pads the cells of every column to the same width; numeric columns are right-aligned.
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
    /// The value as plain text: blobs in hexadecimal, null empty.
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

/// The front at the end of a run, as a table or as JSON.
public enum FrontTable {
    /// An aligned table without a final newline.
    public static func text(_ front: [FrontRecord]) -> String {
        let header = ["candidate", "generation", "speed-up", "latency", "GMACs", "quality", "images"]
        let rows = front.map { point in
            [
                "\(point.candidateID)", "\(point.generation)",
                point.speedup.map { String(format: "%.2fx", $0) } ?? "-",
                point.latencyRatio.map { String(format: "%.3f", $0) } ?? "-",
                point.macs.map { String(format: "%.2f", Double($0) / 1e9) } ?? "-",
                String(format: "%.2f", point.quality), "\(point.images)",
            ]
        }
        let table = TableFormat.aligned([header] + rows, numeric: Array(repeating: true, count: header.count))
        return String(table.dropLast())
    }

    /// Rows of the view `pareto_front` as a JSON array.
    ///
    /// - Throws: `EncodingError`.
    public static func json(_ front: [FrontRecord]) throws -> String { try encoded(front.map(Row.init)) }

    /// A row of the view `pareto_front` as a JSON object.
    ///
    /// - Throws: `EncodingError`.
    public static func json(_ member: FrontRecord) throws -> String { try encoded(Row(front: member)) }

    private static func encoded(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private struct Row: Encodable {
        let front: FrontRecord

        enum CodingKeys: String, CodingKey {
            case candidateID = "candidate_id"
            case generation, speedup
            case latencyRatio = "latency_ratio"
            case measuredRatio = "measured_ratio"
            case macs, quality, images
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(front.candidateID, forKey: .candidateID)
            try container.encode(front.generation, forKey: .generation)
            try container.encode(front.speedup, forKey: .speedup)
            try container.encode(front.latencyRatio, forKey: .latencyRatio)
            try container.encode(front.measuredRatio, forKey: .measuredRatio)
            try container.encode(front.macs, forKey: .macs)
            try container.encode(front.quality, forKey: .quality)
            try container.encode(front.images, forKey: .images)
        }
    }
}
