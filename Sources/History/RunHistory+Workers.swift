import Foundation
import GRDB

extension RunHistory {
    /// Enters a worker that joins, or brings what is known of it up to date.
    ///
    /// - Parameters:
    ///   - worker: What it says of itself.
    ///   - instant: Unix seconds.
    /// - Returns: The worker's identity, the same whenever it joins with the same name.
    /// - Throws: `HistoryError`.
    public func upsertWorker(_ worker: WorkerDescription, at instant: Double = now()) throws -> Int64 {
        try write { db in
            try db.executeCached(
                sql: """
                    INSERT INTO workers (name, host, cpu, blas, threads, engine_version, first_seen, last_seen)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (name) DO UPDATE SET host = excluded.host, cpu = excluded.cpu, blas = excluded.blas,
                        threads = excluded.threads, engine_version = excluded.engine_version,
                        last_seen = excluded.last_seen
                    """,
                arguments: [
                    worker.name, worker.host, worker.cpu, worker.blas, worker.threads, worker.engineVersion, instant,
                    instant,
                ])
            let id = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT id FROM workers WHERE name = ?"), arguments: [worker.name])
            guard let id else { throw HistoryError.noSuchRecord(kind: "worker", identity: worker.name) }
            return id
        }
    }

    /// Adds to the time that a worker was connected.
    ///
    /// - Parameters:
    ///   - seconds: Seconds since the last call, or since it joined.
    ///   - workerID: The worker.
    ///   - instant: Unix seconds, noted as its last sign of life.
    /// - Throws: `HistoryError.noSuchRecord`.
    public func addConnectedSeconds(_ seconds: Double, to workerID: Int64, at instant: Double = now()) throws {
        try write { db in
            try db.executeCached(
                sql: "UPDATE workers SET connected_seconds = connected_seconds + ?, last_seen = ? WHERE id = ?",
                arguments: [seconds, instant, workerID])
            try Self.requireChange(in: db, kind: "worker", identity: workerID)
        }
    }

    /// All workers ever seen.
    ///
    /// - Returns: In the order in which they first joined.
    /// - Throws: `HistoryError`.
    public func workers() throws -> [WorkerRecord] {
        try read { db in
            try db.cachedRows(sql: "SELECT * FROM workers ORDER BY id").map { row in
                WorkerRecord(
                    id: row["id"],
                    description: WorkerDescription(
                        name: row["name"], host: row["host"], cpu: row["cpu"], blas: row["blas"],
                        threads: row["threads"], engineVersion: row["engine_version"]),
                    firstSeen: row["first_seen"], lastSeen: row["last_seen"],
                    connectedSeconds: row["connected_seconds"], busySeconds: row["busy_seconds"],
                    failures: row["failures"])
            }
        }
    }
}
