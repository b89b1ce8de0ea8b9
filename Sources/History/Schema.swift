import Foundation
import GRDB

/// The database schema: numbered migrations, and the views, which are made anew whenever a migration has run.
///
/// `PRAGMA user_version` decides; the table `schema_migrations` tells a reader of the file when each step was taken.
enum Schema {
    /// One step of the schema, applied in one transaction.
    struct Migration {
        /// 1 for the first; without gaps.
        let version: Int
        let name: String
        let sql: String
    }

    static let migrations = [
        Migration(version: 1, name: "create the tables", sql: tables),
        Migration(version: 2, name: "cost tables, evaluations shared by runs", sql: searchTables),
        Migration(version: 3, name: "refusals, canaries, rechecks and quarantine", sql: clusterTables),
        Migration(version: 4, name: "gates of benchmarked TGATE schedules", sql: benchmarkTables),
    ]

    /// The schema version that this program writes.
    static var version: Int { migrations.count }

    /// SQLite 3.37 brought STRICT tables (https://www.sqlite.org/stricttables.html).
    static let requiredSQLite = "3.37.0"

    /// Brings a database up to date; one that is up to date is not written to.
    ///
    /// - Parameters:
    ///   - database: A connection that may write.
    ///   - migrations: The steps known, in order.
    ///   - now: Unix seconds, noted with each step.
    /// - Throws: `DatabaseError`; the database is then as it was.
    static func migrate(_ database: DatabaseQueue, to migrations: [Migration] = migrations, at now: Double) throws {
        try database.write { db in
            let version = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            let pending = migrations.filter { $0.version > version }
            guard let last = pending.last else { return }
            // Views are read through names: dropped first, they cannot hinder a step that changes a table.
            for view in try String.fetchAll(db, sql: "SELECT name FROM sqlite_master WHERE type = 'view'") {
                try db.execute(sql: "DROP VIEW \"\(view)\"")
            }
            for migration in pending {
                try db.execute(sql: migration.sql)
                try db.execute(
                    sql: "INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)",
                    arguments: [migration.version, migration.name, now])
            }
            for view in views {
                try db.execute(sql: view.sql)
            }
            try db.execute(sql: "PRAGMA application_id = \(DatabaseFile.applicationID)")
            try db.execute(sql: "PRAGMA user_version = \(last.version)")
        }
    }

    /// Refuses a SQLite that cannot hold the schema.
    ///
    /// - Parameter version: What `sqlite_version()` says.
    /// - Throws: `HistoryError.sqliteTooOld`.
    static func checkSQLite(version: String) throws {
        guard version.compare(requiredSQLite, options: .numeric) == .orderedAscending else { return }
        throw HistoryError.sqliteTooOld(found: version, required: requiredSQLite)
    }
}
