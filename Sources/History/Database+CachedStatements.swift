import GRDB

// Statements that the coordinator runs for every task or worker: compiling one takes longer than running it.
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
