import Foundation
import GRDB

/// The database schema: numbered migrations, and the views, which are recreated whenever a migration runs.
///
/// `PRAGMA user_version` is the schema version. It is in the file header, so that a newer file can be rejected without
/// opening it. The table `schema_migrations` records when each migration ran. GRDB's `DatabaseMigrator` has a table of
/// its own instead of a version and commits each migration separately; here all pending migrations and the views are
/// one transaction, so that a file always has the complete schema of one version.
enum Schema {
    struct Migration {
        /// 1 for the first; without gaps.
        let version: Int
        let name: String
        let sql: String
    }

    static let migrations = [
        Migration(version: 1, name: "create the tables", sql: tables),
        Migration(version: 2, name: "cost tables, evaluations shared by runs", sql: costTables),
        Migration(version: 3, name: "refusals, canaries, rechecks and quarantine", sql: trustTables),
        Migration(version: 4, name: "gates of benchmarked TGATE schedules", sql: gateSteps),
        Migration(version: 5, name: "statistics of the scores", sql: scoreStatistics),
        Migration(version: 6, name: "engines, precisions and device classes", sql: engines),
        Migration(version: 7, name: "reuse errors", sql: reuseErrors),
        // Views only: losses relative to the uncached images of a benchmark.
        Migration(version: 8, name: "losses of benchmarks", sql: ""),
        Migration(version: 9, name: "predictions of the error model", sql: predictions),
        // Views only: the uncached schedule that a search evaluates is no benchmark.
        Migration(version: 10, name: "benchmarks without the search's own schedule", sql: ""),
    ]

    /// The schema version of this release.
    static var version: Int { migrations.count }

    /// SQLite 3.37 introduced STRICT tables (https://www.sqlite.org/stricttables.html).
    static let requiredSQLite = "3.37.0"

    /// Runs the pending migrations in one transaction; does not write to an up-to-date file.
    ///
    /// On an error the database is unchanged. `now` is stored with each migration.
    static func migrate(_ database: DatabaseQueue, to migrations: [Migration] = migrations, at now: Double) throws {
        try database.write { db in
            let version = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            let pending = migrations.filter { $0.version > version }
            guard let last = pending.last else { return }
            // A view that refers to a changed table would make ALTER TABLE fail.
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

    /// The oldest version that a reader can use: what later ones added can be computed from its tables.
    static let oldestReadable = 4

    /// Makes a file of a version from `oldestReadable` on look like the current one to this connection.
    ///
    /// The temporary views take precedence over the tables and views of the file, which stays as it is. Only what the
    /// file lacks is replaced.
    static func addTemporaryViews(to db: Database, of version: Int) throws {
        let tables: [(since: Int, name: String, select: String)] = [
            (5, "score_statistics", scoreStatistics()),
            (6, "evaluation_sets", nativeEvaluationSets),
            (6, "workers", "SELECT *, 'native' AS engine, \(nativeDeviceClass) AS device_class FROM main.workers"),
            (7, "reuse_errors", noReuseErrors),
            (9, "candidates", "SELECT *, \(noPredictions) FROM main.candidates"),
        ]
        for table in tables where version < table.since {
            try db.execute(sql: "CREATE TEMP VIEW \(table.name) AS \(table.select)")
        }
        for view in views {
            try db.execute(sql: view.sql.replacingOccurrences(of: "CREATE VIEW", with: "CREATE TEMP VIEW"))
        }
    }

    /// Throws `HistoryError.sqliteTooOld` for a SQLite without the features of the schema.
    static func checkSQLite(version: String) throws {
        guard version.compare(requiredSQLite, options: .numeric) == .orderedAscending else { return }
        throw HistoryError.sqliteTooOld(found: version, required: requiredSQLite)
    }
}
