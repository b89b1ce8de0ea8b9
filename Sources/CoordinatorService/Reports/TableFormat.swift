import Basics
import Foundation
import History
import JSON

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

    /// Whether a person reads it, who is served by four significant digits.
    public var isForReading: Bool { self == .table || self == .markdown }

    /// Formats a query result; the text ends in a newline.
    ///
    /// - Parameters:
    ///   - result: Columns and rows.
    ///   - isExact: Whether tables show all digits of a number, as CSV and JSON always do.
    ///   - width: Characters of a line of the terminal, to which cells of text in an aligned table are cut; nil for any.
    /// - Returns: The text.
    public func print(_ result: QueryResult, isExact: Bool = false, width: Int? = nil) -> String {
        let cells = result.rows.map { row in row.map { isForReading && !isExact ? $0.shortText : $0.text } }
        switch self {
        case .table:
            let isNumeric = Self.numericColumns(result)
            let rows = [result.columns] + cells
            return alignedTable(
                width.map { Self.cut(rows, isNumeric: isNumeric, to: $0) } ?? rows, isNumeric: isNumeric)
        case .csv:
            return ([result.columns] + cells).map { $0.map(\.csvField).joined(separator: ",") + "\r\n" }.joined()
        case .json: return Self.json(result) + "\n"
        case .markdown:
            let rule = result.columns.map { _ in "---" }
            return ([result.columns, rule] + cells).map { row in
                "| " + row.map(\.markdownCell).joined(separator: " | ") + " |\n"
            }.joined()
        }
    }

    /// Shortens the longest columns of text, none below eight characters, until lines fit; cut cells end in "…".
    private static func cut(_ rows: [[String]], isNumeric: [Bool], to width: Int) -> [[String]] {
        let rows = rows.map { $0.map(\.terminalEscaped) }
        var widths = isNumeric.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        while widths.reduce(2 * (widths.count - 1), +) > width,
            let longest = widths.indices.filter({ !isNumeric[$0] && widths[$0] > 8 }).max(by: {
                widths[$0] < widths[$1]
            })
        {
            widths[longest] -= 1
        }
        return rows.map { row in
            zip(row, widths).map { cell, width in cell.count > width ? cell.prefix(width - 1) + "…" : cell }
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
    /// The value as plain text: blobs in hexadecimal, null empty.
    fileprivate var text: String {
        switch self {
        case .null: ""
        case .integer(let value): "\(value)"
        case .real(let value): "\(value)"
        case .text(let value): value
        case .blob(let bytes): bytes.hexadecimal
        }
    }

    /// ``text`` with four significant digits of a fraction, or all those before its decimal point.
    fileprivate var shortText: String {
        guard case .real(let value) = self, value.isFinite else { return text }
        return abs(value) >= 1000 && abs(value) < 1e15
            ? String(format: "%.0f", value) : String(format: "%.4g", value)
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

/// The front at the end of a run, as a table or as JSON.
public enum FrontTable {
    /// An aligned table without a final newline; qualities have the decimals of the largest with four digits.
    ///
    /// Where the latency is modelled, the measured one stands beside it.
    public static func text(_ front: [FrontRecord]) -> String {
        let isModelled = front.contains { $0.measuredRatio != nil && $0.measuredRatio != $0.latencyRatio }
        let largest = front.map { abs($0.quality) }.max() ?? 0
        let decimals = largest > 0 ? min(6, max(2, 3 - Int(log10(largest).rounded(.down)))) : 2
        func ratio(_ value: Double?) -> String { value.map { String(format: "%.3f", $0) } ?? "-" }
        let header =
            ["candidate", "generation", "speed-up", "latency"] + (isModelled ? ["measured"] : [])
            + ["GMACs", "quality", "images"]
        let rows = front.map { point in
            [
                "\(point.candidateID)", "\(point.generation)",
                point.speedup.map { String(format: "%.2fx", $0) } ?? "-", ratio(point.latencyRatio),
            ] + (isModelled ? [ratio(point.measuredRatio)] : []) + [
                point.macs.map { String(format: "%.2f", Double($0) / 1e9) } ?? "-",
                String(format: "%.\(decimals)f", point.quality), "\(point.images)",
            ]
        }
        let table = alignedTable([header] + rows, isNumeric: Array(repeating: true, count: header.count))
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
