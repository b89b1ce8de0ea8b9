import Foundation
import GRDB
import TestSupport
import Testing

@testable import History

@Suite struct SchemaTests {
    /// The columns that scripts of others rely on.
    static let contract: [(view: String, columns: [String])] = [
        (
            "pareto_front",
            [
                "run_id", "candidate_id", "generation", "speedup", "latency_ratio", "macs", "quality", "images",
                "measured_ratio",
            ]
        ),
        ("hypervolume_history", ["run_id", "generation", "evaluations", "wall_seconds", "hypervolume"]),
        (
            "candidate_scores",
            ["candidate_id", "scorer", "mean", "standard_error", "p5", "worst", "worst_prompt", "images"]
        ),
        (
            "worker_utilisation",
            [
                "worker_id", "name", "evaluations", "images", "busy_seconds", "connected_seconds", "utilisation",
                "failures", "engine", "device_class",
            ]
        ),
        (
            "measured_by",
            ["run_id", "candidate_id", "evaluation_set", "images", "worker", "engine", "precision", "device_class"]
        ),
        ("lineage", ["candidate_id", "parent_id", "operator", "origin"]),
        ("front_ancestors", ["run_id", "candidate_id", "ancestor_id", "generation", "origin", "operator", "is_seed"]),
        ("prompt_loss", ["run_id", "candidate_id", "prompt", "seed", "scorer", "value", "uncached", "loss"]),
        ("worker_failures", ["worker_id", "name", "outcome", "leases", "last_at", "reason"]),
        ("throughput", ["run_id", "minute", "images", "images_per_second", "workers"]),
        ("cost_so_far", ["run_id", "generation", "images", "worker_seconds", "wall_seconds", "hypervolume"]),
        ("gene_usage", ["run_id", "step", "block", "component", "recompute_share"]),
        (
            "error_model",
            [
                "run_id", "candidate_id", "generation", "predicted", "measured", "residual", "deviation",
                "predicted_log_error", "log_error",
            ]
        ),
        ("latency_model_error", ["candidate_id", "modelled_ratio", "measured_ratio", "relative_error"]),
        (
            "benchmark_scores",
            ["schedule", "prompt_set", "scorer", "mean", "standard_error", "p5", "worst", "engine", "precision"]
        ),
        (
            "benchmark_summary",
            ["schedule", "prompt_set", "scorer", "mean", "standard_error", "speedup", "engine", "precision"]
        ),
    ]

    static let tables = [
        "runs", "workers", "generations", "candidates", "evaluations", "image_scores", "image_timings", "tasks",
        "leases", "events", "thumbnails", "schema_migrations", "cost_tables", "score_statistics", "evaluation_sets",
    ]

    @Test(arguments: contract) func everyViewHasItsPublicColumns(view: String, columns: [String]) throws {
        let sample = try SampleHistory()
        let found = try sample.history.query(named: view).columns
        #expect(columns.filter { !found.contains($0) } == [])
    }

    @Test func everyViewIsPublic() {
        #expect(Set(Schema.views.map(\.name)) == Set(Self.contract.map(\.view)))
    }

    @Test func everyTableExistsAndIsStrict() throws {
        let sample = try SampleHistory()
        let strict = try sample.history.query(
            "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        #expect(strict.numbers("strict").allSatisfy { $0 == 1 })
        let names = Set(strict["name"])
        #expect(Self.tables.filter { !names.contains(.text($0)) } == [])
    }

    @Test func everyForeignKeyHasAnIndex() throws {
        let sample = try SampleHistory()
        let missing = try sample.history.query(
            """
            SELECT t.name, k."from" FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) k
            WHERE t.schema = 'main' AND k.seq = 0 AND NOT EXISTS (
                SELECT 1 FROM pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
                WHERE c.seqno = 0 AND c.name = k."from")
            """)
        #expect(missing.rows == [])
    }

    @Test func fileHeaderHasApplicationAndVersion() throws {
        let sample = try SampleHistory()
        #expect(try sample.integer("PRAGMA application_id") == 0x4543_4144)
        #expect(try sample.integer("PRAGMA user_version") == Int64(Schema.version))
        #expect(try sample.integer("SELECT max(version) FROM schema_migrations") == Int64(Schema.version))
    }

    @Test func migrationKeepsTheData() throws {
        let sample = try SampleHistory()
        let next = Schema.Migration(
            version: Schema.version + 1, name: "add notes", sql: "ALTER TABLE candidates ADD COLUMN note TEXT")
        try Schema.migrate(sample.history.database, to: Schema.migrations + [next], at: 500)
        #expect(try sample.integer("PRAGMA user_version") == Int64(next.version))
        #expect(try sample.integer("SELECT count(note IS NULL) FROM candidates") == 2)
        #expect(try sample.history.query("SELECT name FROM schema_migrations")["name"].last == .text("add notes"))
        #expect(try sample.history.query(named: "pareto_front").rows.isEmpty)
    }

    @Test func failedMigrationChangesNothing() throws {
        let sample = try SampleHistory()
        let broken = Schema.Migration(
            version: Schema.version + 1, name: "broken", sql: "CREATE TABLE extra (x); CREATE TABLE extra (x)")
        #expect(throws: DatabaseError.self) {
            try Schema.migrate(sample.history.database, to: Schema.migrations + [broken], at: 500)
        }
        #expect(try sample.integer("PRAGMA user_version") == Int64(Schema.version))
        #expect(try sample.integer("SELECT count(*) FROM sqlite_master WHERE name = 'extra'") == 0)
        #expect(try sample.history.query(named: "pareto_front").columns.count == 10)
    }

    /// Histories as the releases of each schema version wrote them.
    @Test(arguments: 1...Schema.version) func historyOfEveryReleasedVersionMigratesToTheSameSchema(version: Int) throws
    {
        let folder = try Self.released(version)
        let file = folder.file("history.sqlite")
        if version >= Schema.oldestReadable {
            let reader = try RunHistory.openReadOnly(in: folder.path)
            #expect(try reader.query(named: "candidate_scores")["scorer"] == [.text("image-reward-kept")])
            for view in RunHistory.namedQueries { #expect(throws: Never.self) { try reader.query(named: view.name) } }
            try Self.expectNativeEngine(reader)
            try reader.close()
        } else {
            #expect(throws: HistoryError.olderSchema(file: file, found: version, supported: Schema.version)) {
                try RunHistory.openReadOnly(in: folder.path)
            }
        }
        let history = try RunHistory.open(in: folder.path)
        #expect(try Self.schema(of: history) == Self.schema(of: SampleHistory().history))
        #expect(try history.query("PRAGMA foreign_key_check").rows == [])
        try Self.expectNativeEngine(history)
        let versions = try history.query("SELECT version FROM schema_migrations ORDER BY version")
        #expect(versions.numbers("version") == (1...Schema.version).map { Double($0) })

        let snapshot = try history.runs.snapshot()
        #expect(snapshot.run.qualityObjective == "image-reward-kept")
        #expect(snapshot.run.costObjective == (version == 1 ? "measured" : "latency"))
        #expect(snapshot.run.configuration.contains(version == 1 ? "\"measured\"" : "\"latency\""))
        #expect(snapshot.tasks.map(\.state) == [.done, .leased])
        #expect(snapshot.candidates.map { $0.evaluation?.quality } == [0.375, nil])
        #expect(
            try history.results.measurements(of: 1).scores.map(\.scorer)
                == Array(repeating: "image-reward-kept", count: 2))
        #expect(try history.query(named: "candidate_scores")["scorer"] == [.text("image-reward-kept")])
        #expect(try history.search.front(of: 1).map(\.speedup) == [2])
        for view in RunHistory.namedQueries { #expect(throws: Never.self) { try history.query(named: view.name) } }

        try history.tasks.endLease(LeaseKey(taskID: 2, epoch: 1), outcome: .expired)
        try history.tasks.recordLease(of: 2, to: 1, epoch: 2, expiresAt: 300)
        try history.close()
    }

    /// Before version 6 all workers were the native engine's, with a device class of processor, BLAS and threads.
    private static func expectNativeEngine(_ history: RunHistory) throws {
        let sets = try history.query("SELECT name, engine, precision FROM evaluation_sets").rows
        #expect(sets == [[.text("calibration"), .text("native"), .text("float32")]])
        let workers = try history.query(named: "worker_utilisation")
        #expect(workers["engine"] == [.text("native")])
        #expect(workers["device_class"] == [.text("CPU, OpenBLAS, 2 threads")])
    }

    /// A reader takes from an older file what that has, and computes only the rest.
    @Test func olderFilesKeepTheirEnginesForReaders() throws {
        for version in 6..<Schema.version {
            let folder = try Self.released(version)
            let database = try DatabaseQueue(path: folder.file("history.sqlite"))
            try database.write { db in
                try db.execute(
                    sql: """
                        UPDATE evaluation_sets SET engine = 'torch', precision = 'bfloat16';
                        UPDATE workers SET engine = 'torch', device_class = 'H100';
                        """)
            }
            try database.close()
            let reader = try RunHistory.openReadOnly(in: folder.path)
            let sets = try reader.query("SELECT engine, precision FROM evaluation_sets").rows
            #expect(sets == [[.text("torch"), .text("bfloat16")]], "version \(version)")
            #expect(try reader.query(named: "worker_utilisation")["device_class"] == [.text("H100")])
            #expect(try reader.runs.reuseErrors(of: 1).isEmpty)
            #expect(try reader.search.candidates(of: 1).contains { $0.prediction != nil } == (version >= 9))
        }
    }

    /// A reader computes only what the file does not have.
    @Test(arguments: [6, 7]) func enginesOfAnOlderHistoryAreItsOwn(version: Int) throws {
        let folder = try Self.released(version)
        let database = try DatabaseQueue(path: folder.file("history.sqlite"))
        try database.write { try $0.execute(sql: "UPDATE workers SET engine = 'torch', device_class = 'GPU'") }
        try database.close()
        let workers = try RunHistory.openReadOnly(in: folder.path).query("SELECT * FROM workers")
        #expect(workers.columns.count(where: { $0 == "engine" }) == 1)
        #expect(Set(workers["engine"]) == [.text("torch")] && Set(workers["device_class"]) == [.text("GPU")])
    }

    @Test func historyOfThisVersionOpensUnchanged() throws {
        let folder = try Self.released(Schema.version)
        let file = folder.file("history.sqlite")
        func dump() throws -> [String] {
            let database = try DatabaseQueue(path: file)
            defer { try? database.close() }
            return try database.read { db in
                let tables = try String.fetchAll(db, sql: "SELECT name FROM sqlite_master WHERE type = 'table'")
                return try String.fetchAll(db, sql: "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
                    + tables.flatMap { try Row.fetchAll(db, sql: "SELECT * FROM \"\($0)\"").map { "\($0)" } }
            }
        }
        let before = try dump()
        try RunHistory.open(in: folder.path).close()
        #expect(try dump() == before)
    }

    /// A run directory with the stored history of a schema version.
    private static func released(_ version: Int) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let sql = try String(contentsOfFile: "\(Fixtures.folder)/history/version-\(version).sql", encoding: .utf8)
        let database = try DatabaseQueue(path: folder.file("history.sqlite"))
        try database.write { try $0.execute(sql: sql) }
        try database.close()
        return folder
    }

    /// Names and SQL of all tables, indexes and views, without comments and white space.
    private static func schema(of history: RunHistory) throws -> [String: String] {
        let rows = try history.query("SELECT type || ' ' || name AS name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return Dictionary(
            uniqueKeysWithValues: zip(rows["name"], rows["sql"]).map { name, sql in
                guard case (.text(let name), .text(let sql)) = (name, sql) else { return ("\(name)", "") }
                return (name, sql.replacing(/--[^\n]*/, with: "").replacing(/\s+/, with: ""))
            })
    }

    @Test func oldSQLiteIsRejected() throws {
        #expect(throws: HistoryError.sqliteTooOld(found: "3.9.2", required: "3.37.0")) {
            try Schema.checkSQLite(version: "3.9.2")
        }
        try Schema.checkSQLite(version: "3.37.0")
        try Schema.checkSQLite(version: "3.100.1")
    }

    @Test(.enabled(if: hasShell, "needs /usr/bin/sqlite3")) func everyViewWorksInTheSQLiteShell() throws {
        let sample = try SampleHistory()
        _ = try sample.history.results.commit(sample.result(0))
        for (candidate, cost) in zip(sample.work.candidateIDs, [0.5, 0.25]) {
            try sample.history.search.recordEvaluation(
                of: candidate, totals: totals(cost: cost, quality: cost, modelled: cost))
        }
        try sample.history.search.completeGeneration(
            0, of: sample.run, searchState: [1], hypervolume: 0.5, wallSeconds: 1)
        try sample.history.database.write {
            try $0.execute(sql: "UPDATE candidates SET predicted_log_error = -3")
        }
        let lease = try sample.history.tasks.lease(sample.work.taskIDs[1], to: sample.worker, expiresAt: 1)
        try sample.history.tasks.endLease(lease, outcome: .failed)
        for view in Schema.views where !view.name.hasPrefix("benchmark") {
            let lines = try sqlite3Shell(sample.history.file, "SELECT * FROM \(view.name)").split(separator: "\n")
            #expect(lines.count > 1, "\(view.name)")
        }
        #expect(
            try sqlite3Shell(sample.history.file, "SELECT speedup, quality FROM pareto_front")
                == "speedup|quality\n2.0|0.5\n4.0|0.25\n")
        #expect(
            try sqlite3Shell(sample.history.file, "SELECT mean, standard_error, p5, images FROM candidate_scores")
                == "mean|standard_error|p5|images\n0.5|0.0|0.5|2\n")
    }
}
