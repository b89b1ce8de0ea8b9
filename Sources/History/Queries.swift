import Foundation
import GRDB

/// A SQLite value.
public enum QueryValue: Hashable, Sendable {
    /// SQL NULL.
    case null
    /// 64-bit integer.
    case integer(Int64)
    /// 64-bit floating-point number.
    case real(Double)
    /// UTF-8 text.
    case text(String)
    /// Binary data.
    case blob([UInt8])
}

/// The rows of a query.
public struct QueryResult: Hashable, Sendable {
    /// Column names in the order of the SELECT.
    public let columns: [String]
    /// Each row has one value per column.
    public let rows: [[QueryValue]]

    /// Every row must have one value per column.
    public init(columns: [String], rows: [[QueryValue]]) {
        self.columns = columns
        self.rows = rows
    }
}

/// A view of the schema.
public struct NamedQuery: Hashable, Sendable {
    /// Name of the view.
    public let name: String
    /// One-line description.
    public let summary: String
}

extension RunHistory {
    /// The views, for `query(named:)`.
    public static let namedQueries = Schema.views.map { NamedQuery(name: $0.name, summary: $0.summary) }

    /// All rows of a view, in the order of the view; throws `HistoryError.query` for an unknown name.
    public func query(named name: String) throws -> QueryResult {
        guard Self.namedQueries.contains(where: { $0.name == name }) else {
            let names = Self.namedQueries.map(\.name).joined(separator: ", ")
            throw HistoryError.query(reason: "unknown view '\(name)'; expected one of \(names)")
        }
        return try query("SELECT * FROM \(name)")
    }

    /// Runs a single read-only SQL statement; `arguments` are the values of its `?` parameters.
    ///
    /// Throws `HistoryError.query` for invalid SQL, several statements, and statements that write or return no rows.
    public func query(_ sql: String, _ arguments: [QueryValue] = []) throws -> QueryResult {
        do {
            // GRDB sets PRAGMA query_only for `read`, on writable connections too.
            return try database.read { db in
                let statement = try Self.singleStatement(sql, in: db)
                guard statement.isReadonly, statement.columnCount > 0 else {
                    throw HistoryError.query(reason: "expected a single read-only statement that returns rows")
                }
                let values = StatementArguments(arguments.map(\.databaseValue))
                guard (try? statement.validateArguments(values)) != nil else {
                    throw HistoryError.query(
                        reason: "a parameter (? or :name) has no value; expected values in the statement itself")
                }
                let rows = try Row.fetchAll(statement, arguments: values)
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

extension RunHistory {
    private static func singleStatement(_ sql: String, in db: Database) throws -> Statement {
        let statements = try db.allStatements(sql: sql)
        guard let first = try statements.next() else {
            throw HistoryError.query(reason: "no statement; expected one that returns rows")
        }
        // What follows the first statement may not compile; it is one too many in either case.
        guard (try? statements.next() == nil) ?? false else {
            throw HistoryError.query(reason: "several statements; expected one statement at a time")
        }
        return first
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
