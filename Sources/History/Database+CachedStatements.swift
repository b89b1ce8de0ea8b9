import GRDB

// Statements that the coordinator needs for every task: SQLite compiles them once, which takes longer than running them.
extension Database {
    /// Executes a statement that is kept compiled.
    func executeCached(sql: String, arguments: StatementArguments) throws {
        try cachedStatement(sql: sql).execute(arguments: arguments)
    }

    /// The rows of a statement that is kept compiled.
    func cachedRows(sql: String, arguments: StatementArguments = []) throws -> [Row] {
        try Row.fetchAll(cachedStatement(sql: sql), arguments: arguments)
    }
}
