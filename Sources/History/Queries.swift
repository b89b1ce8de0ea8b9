import Foundation
import GRDB

/// A value of SQLite.
public enum QueryValue: Hashable, Sendable {
    /// No value.
    case null
    /// A whole number.
    case integer(Int64)
    /// A floating-point number.
    case real(Double)
    /// Text.
    case text(String)
    /// Bytes.
    case blob([UInt8])
}

/// A table of values, to be printed in whatever form.
public struct QueryResult: Hashable, Sendable {
    /// Column names from left to right.
    public let columns: [String]
    /// Rows, each with a value for every column.
    public let rows: [[QueryValue]]

    /// A table; every row has as many values as there are columns.
    public init(columns: [String], rows: [[QueryValue]]) {
        self.columns = columns
        self.rows = rows
    }
}

/// A query known by name: one of the schema's views.
public struct NamedQuery: Hashable, Sendable {
    /// The view's name.
    public let name: String
    /// One sentence about it.
    public let summary: String
}

extension RunHistory {
    /// The queries known by name.
    public static let namedQueries = Schema.views.map { NamedQuery(name: $0.name, summary: $0.summary) }

    /// Reads all rows of a view.
    ///
    /// - Parameter name: A name of `namedQueries`.
    /// - Returns: The view's rows in the view's order.
    /// - Throws: `HistoryError.query` for an unknown name.
    public func query(named name: String) throws -> QueryResult {
        guard Self.namedQueries.contains(where: { $0.name == name }) else {
            let known = Self.namedQueries.map(\.name).joined(separator: ", ")
            throw HistoryError.query(reason: "unknown name '\(name)', expected one of \(known)")
        }
        return try query("SELECT * FROM \(name)")
    }

    /// Runs one SQL statement that reads.
    ///
    /// - Parameters:
    ///   - sql: A single statement that returns rows; anything that could write is refused.
    ///   - arguments: Values of its `?` parameters.
    /// - Returns: Its columns and rows.
    /// - Throws: `HistoryError.query` for SQL that is wrong or is not one reading statement.
    public func query(_ sql: String, _ arguments: [QueryValue] = []) throws -> QueryResult {
        do {
            // Reading transactions run under PRAGMA query_only, whatever the connection may do otherwise.
            return try database.read { db in
                let statement = try db.makeStatement(sql: sql)
                guard statement.isReadonly, statement.columnCount > 0 else {
                    throw HistoryError.query(reason: "expected one statement that returns rows and changes nothing")
                }
                let rows = try Row.fetchAll(statement, arguments: StatementArguments(arguments.map(\.databaseValue)))
                return QueryResult(
                    columns: statement.columnNames,
                    rows: rows.map { row in row.databaseValues.map { QueryValue($0) } })
            }
        } catch let error as DatabaseError {
            switch error.resultCode {
            case .SQLITE_ERROR, .SQLITE_MISUSE, .SQLITE_RANGE, .SQLITE_MISMATCH, .SQLITE_READONLY, .SQLITE_AUTH:
                throw HistoryError.query(reason: error.message ?? error.resultCode.description)
            default:
                throw HistoryError(error, file: file)
            }
        }
    }
}

extension QueryValue {
    init(_ value: DatabaseValue) {
        self =
            switch value.storage {
            case .null: .null
            case .int64(let number): .integer(number)
            case .double(let number): .real(number)
            case .string(let text): .text(text)
            case .blob(let data): .blob(Array(data))
            }
    }

    var databaseValue: DatabaseValue {
        switch self {
        case .null: .null
        case .integer(let number): number.databaseValue
        case .real(let number): number.databaseValue
        case .text(let text): text.databaseValue
        case .blob(let bytes): Data(bytes).databaseValue
        }
    }
}
