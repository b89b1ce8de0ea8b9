import Basics
import Foundation
import History
import Synchronization

/// The data of the pages, read from one run's history: each page is one JSON document of bounded size.
///
/// SQLite writes the JSON. Queries run one after the other on a queue of their own, in transactions as short as they
/// are, so that the coordinator can write its log back at any time.
final class RunPages: Sendable {
    /// Run directory, as given.
    let folder: String
    private let history: RunHistory
    private let queue: DispatchQueue
    private let runID: Int64
    /// SHA-256 of the genome that recomputes everything, as in `candidates.genome_sha256`.
    private let uncachedHash: String
    private let documents = Mutex(Documents())

    /// The latest documents: many readers of the same page share one query and one copy of its answer.
    private struct Documents {
        static let limit = 16
        var tasks: [String: (version: Int64, task: Task<Data?, any Error>)] = [:]
        /// Least recently requested first.
        var order: [String] = []
    }

    /// Opens the latest run of a directory.
    ///
    /// - Throws: `HistoryError`.
    init(folder: String) throws {
        self.folder = folder
        history = try RunHistory.openReadOnly(in: folder)
        queue = DispatchQueue(label: "run \(folder)")
        let latest = try history.query("SELECT id, gene_count FROM runs ORDER BY id DESC LIMIT 1").rows.first
        guard case .integer(let run)? = latest?[0], case .integer(let genes)? = latest?[1] else {
            throw HistoryError.noSuchRecord(kind: "run", identity: "at all")
        }
        runID = run
        uncachedHash = SHA256.digest([UInt8](repeating: UInt8(ascii: "1"), count: Int(genes))).hexadecimal
    }

    /// Closes the history, whatever still refers to it.
    func close() { try? history.close() }

    /// The process that works on the run, such as "pid 812 on head"; nil if there is none.
    ///
    /// A killed coordinator leaves the status `running` in the history, but never its lock.
    var coordinator: String? { RunHistory.coordinator(of: folder) }

    /// The pages by name, without those that have a parameter.
    static let names = [
        "summary", "points", "layout", "genomes", "images", "progress", "workers", "benchmarks", "events",
    ]

    /// The most candidates whose genomes one answer contains.
    static let genomeLimit = 500

    /// A page as JSON.
    ///
    /// - Parameters:
    ///   - name: One of ``names``, or `candidate`.
    ///   - query: `after` for `points`, the last evaluation already known, and `limit`, about how many there are in all;
    ///     `ids` for `genomes`, separated by commas, by
    ///     default the front; `id` for `candidate`.
    /// - Returns: The document; nil if there is no page of that name, or no such candidate.
    /// - Throws: `HistoryError`.
    func page(_ name: String, _ query: [String: String] = [:]) async throws -> String? {
        let run = QueryValue.integer(runID)
        switch name {
        case "points":
            let every = try await pointStride(limit: query["limit"].flatMap { Int64($0) } ?? .max)
            return try await json(Self.points, [run, .integer(Int64(query["after"] ?? "0") ?? 0), .integer(every)])
        case "candidate":
            guard let id = query["id"].flatMap({ Int64($0) }) else { return nil }
            return try await json(Self.candidate, [run, .integer(id), .text(uncachedHash)])
        case "genomes":
            guard let list = query["ids"] else { return try await json(Self.frontGenomes, [run]) }
            let ids = list.split(separator: ",").prefix(Self.genomeLimit).compactMap { Int64($0) }
            return try await json(Self.genomes, [run, .text("[\(ids.map(String.init).joined(separator: ","))]")])
        case "summary":
            return try await json(Self.summary, [run, .text(folder), coordinator.map(QueryValue.text) ?? .null])
        case "layout": return try await json(Self.layout, [run])
        case "images": return try await json(Self.images, [run])
        case "progress": return try await json(Self.progress, [run])
        case "workers": return try await json(Self.workers, [run])
        case "benchmarks": return try await json(Self.benchmarks, [run])
        case "events": return try await json(Self.events, [run])
        default: return nil
        }
    }

    /// A page as a document that all requests for it share until the history changes.
    ///
    /// - Parameters:
    ///   - name: As for ``page(_:_:)``.
    ///   - query: As for ``page(_:_:)``.
    /// - Returns: JSON; nil if there is no such page.
    /// - Throws: `HistoryError`.
    func document(_ name: String, _ query: [String: String]) async throws -> Data? {
        // These two say what time it is.
        if name == "summary" || name == "workers" { return try await page(name, query).map { Data($0.utf8) } }
        let key = ([name] + query.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }).joined(separator: "&")
        let version = try await version()
        let task = documents.withLock { documents in
            documents.order.removeAll { $0 == key }
            documents.order.append(key)
            if let known = documents.tasks[key], known.version == version { return known.task }
            let task = Task { try await self.page(name, query).map { Data($0.utf8) } }
            documents.tasks[key] = (version, task)
            while documents.order.count > Documents.limit {
                documents.tasks[documents.order.removeFirst()] = nil
            }
            return task
        }
        do {
            return try await task.value
        } catch {
            documents.withLock { $0.tasks[key] = nil }
            throw error
        }
    }

    /// The distance of the evaluations of a sample of about `limit`.
    private func pointStride(limit: Int64) async throws -> Int64 {
        guard limit < .max else { return 1 }
        let sql = """
            SELECT count(*) FROM evaluations e JOIN candidates c ON c.id = e.candidate_id
            WHERE c.run_id = ? AND c.generation IS NOT NULL
            """
        guard let count = try await integers(sql).first else { return 1 }
        return max(1, (count + max(1, limit) - 1) / max(1, limit))
    }

    /// A stored image, PNG; nil if there is none of that number.
    func image(_ id: Int64) async throws -> Data? {
        let rows = try await rows("SELECT png FROM thumbnails WHERE id = ?", [.integer(id)])
        guard case .blob(let bytes)? = rows.first?.first else { return nil }
        return Data(bytes)
    }

    /// A number that differs after every change by the coordinator, and once one has begun or ended.
    func state() async throws -> Int64 { try await version() << 1 | (coordinator == nil ? 0 : 1) }

    /// A number that differs after every change by the coordinator.
    private func version() async throws -> Int64 {
        guard case .integer(let version)? = try await rows("PRAGMA data_version", []).first?.first else { return 0 }
        return version
    }

    /// Named numbers of the run for ``RunMetrics``.
    func counts() async throws -> [(name: String, label: String, value: Double)] {
        let up = (name: "ecad_coordinator_up", label: "", value: coordinator == nil ? 0.0 : 1.0)
        return try await [up]
            + rows(Self.counts, [.integer(runID)]).compactMap { row in
                guard case .text(let name) = row[0], case .text(let label) = row[1] else { return nil }
                switch row[2] {
                case .integer(let value): return (name, label, Double(value))
                case .real(let value): return (name, label, value)
                default: return nil
                }
            }
    }

    /// The first column of a query about the run.
    func integers(_ sql: String) async throws -> [Int64] {
        try await rows(sql, [.integer(runID)]).compactMap { row in
            if case .integer(let value) = row[0] { value } else { nil }
        }
    }

    private func json(_ sql: String, _ arguments: [QueryValue]) async throws -> String? {
        guard case .text(let text)? = try await rows(sql, arguments).first?.first else { return nil }
        return text
    }

    private func rows(_ sql: String, _ arguments: [QueryValue]) async throws -> [[QueryValue]] {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.history.query(sql, arguments).rows }) }
        }
    }
}

// MARK: - Queries

/// Parameter ?1 is the run. Numbers are rounded to what can be seen, texts of any origin are cut.
extension RunPages {
    /// Seconds, as in the tables.
    private static let unixTime = "(julianday('now') - 2440587.5) * 86400.0"

    private static let summary = """
        SELECT json_object(
            'name', substr(r.name, 1, 200), 'folder', ?2, 'coordinator', ?3, 'created_at', r.created_at,
            'status', iif(r.status = 'running' AND ?3 IS NULL, 'interrupted', r.status),
            'finished_at', r.finished_at, 'cost', r.cost_objective, 'quality', r.quality_objective,
            'genes', r.gene_count, 'model_hash', r.model_hash, 'seed', r.seed,
            'reference', CASE WHEN r.reference_cost IS NOT NULL
                THEN json_object('cost', r.reference_cost, 'quality', r.reference_quality) END,
            'configuration', substr(r.configuration, 1, 20000), 'shape', json(r.shape),
            'evaluations', (SELECT count(*) FROM evaluations e JOIN candidates c ON c.id = e.candidate_id
                WHERE c.run_id = r.id AND e.evaluation_set = 'calibration'),
            'generation', (SELECT max(number) FROM generations WHERE run_id = r.id),
            'images', (SELECT ifnull(sum(images), 0) FROM tasks WHERE run_id = r.id AND state = 'done'),
            'search_images', (SELECT ifnull(sum(images), 0) FROM tasks
                WHERE run_id = r.id AND state = 'done' AND generation IS NOT NULL),
            'cost_tables', (SELECT count(*) FROM cost_tables WHERE run_id = r.id),
            'reuse_errors', (SELECT count(*) FROM reuse_errors WHERE run_id = r.id),
            'open_tasks', (SELECT count(*) FROM tasks WHERE run_id = r.id AND state IN ('pending', 'leased')),
            'hypervolume', (SELECT hypervolume FROM generations WHERE run_id = r.id AND finished_at IS NOT NULL
                ORDER BY number DESC LIMIT 1),
            'last_result', (SELECT max(finished_at) FROM tasks WHERE run_id = r.id AND state = 'done'),
            'connected', (SELECT count(*) FROM workers WHERE last_seen > \(unixTime) - 15),
            'now', \(unixTime),
            'prompts', (SELECT json_group_array(json_array(id, substr(text, 1, 500), evaluation_set)) FROM (
                SELECT id, text, evaluation_set FROM prompts WHERE run_id = r.id ORDER BY id LIMIT 2000)))
        FROM runs r WHERE r.id = ?1
        """

    private static let points = """
        WITH found AS (
            SELECT e.id AS evaluation, c.id, c.generation, e.cost, e.quality, e.latency_ratio, e.modelled_ratio,
                CASE r.cost_objective WHEN 'latency' THEN coalesce(e.modelled_ratio, e.latency_ratio)
                    ELSE coalesce(e.latency_ratio, e.modelled_ratio) END AS ratio,
                coalesce(e.macs, c.macs) AS macs, e.images, c.origin, c.operator, c.parent_a, c.parent_b
            FROM evaluations e JOIN candidates c ON c.id = e.candidate_id JOIN runs r ON r.id = c.run_id
            WHERE c.run_id = ?1 AND e.evaluation_set = 'calibration' AND c.generation IS NOT NULL AND e.id > ?2
                AND (e.id % ?3 = 0 OR ?3 > 1 AND c.id IN (SELECT candidate_id FROM pareto_front WHERE run_id = ?1))
            ORDER BY e.id LIMIT 20000
        )
        SELECT json_object('last', max(evaluation), 'more', json(iif(count(*) = 20000, 'true', 'false')),
            'id', json_group_array(id), 'generation', json_group_array(generation),
            'cost', json_group_array(round(cost, 6)), 'quality', json_group_array(round(quality, 6)),
            'ratio', json_group_array(round(ratio, 6)), 'measured', json_group_array(round(latency_ratio, 6)),
            'modelled', json_group_array(round(modelled_ratio, 6)), 'gmacs', json_group_array(round(macs / 1e9, 4)),
            'images', json_group_array(images), 'origin', json_group_array(substr(origin, 1, 60)),
            'operator', json_group_array(substr(operator, 1, 40)),
            'parent_a', json_group_array(parent_a), 'parent_b', json_group_array(parent_b))
        FROM found
        """

    private static let layout = """
        SELECT json_object('step', json_group_array(step), 'block', json_group_array(block),
            'component', json_group_array(component))
        FROM (SELECT step, block, component FROM genes WHERE run_id = ?1 ORDER BY gene)
        """

    private static let genomes = """
        SELECT json_group_object(id, hex(genome)) FROM candidates
        WHERE run_id = ?1 AND id IN (SELECT value FROM json_each(?2))
        """

    private static let frontGenomes = """
        SELECT json_group_object(c.id, hex(c.genome)) FROM (
            SELECT candidate_id FROM pareto_front WHERE run_id = ?1 LIMIT \(genomeLimit)
        ) f JOIN candidates c ON c.id = f.candidate_id
        """

    private static let candidate = """
        SELECT json_object('id', c.id, 'label', substr(c.label, 1, 200), 'generation', c.generation,
            'origin', substr(c.origin, 1, 200), 'operator', c.operator, 'genome', hex(c.genome),
            'sha256', c.genome_sha256, 'gate_step', c.gate_step,
            'scores', (SELECT json_group_array(json_array(prompt_id, seed, scorer, round(value, 6))) FROM (
                SELECT * FROM image_scores WHERE candidate_id = c.id LIMIT 6000)),
            'uncached', (SELECT json_group_array(json_array(prompt_id, seed, scorer, round(value, 6))) FROM (
                SELECT s.* FROM (
                    SELECT id FROM candidates WHERE run_id = ?1 AND canonical_hash = ?3 AND generation IS NOT NULL
                    UNION ALL SELECT id FROM candidates
                        WHERE run_id = ?1 AND genome_sha256 = ?3 AND generation IS NULL AND gate_step IS NULL
                ) u JOIN image_scores s ON s.candidate_id = u.id
                WHERE s.prompt_id IN (SELECT prompt_id FROM image_scores WHERE candidate_id = ?2) LIMIT 6000)),
            'statistics', (SELECT json_group_array(json_object('scorer', scorer, 'set', evaluation_set,
                    'mean', round(mean, 6), 'standard_error', round(standard_error, 6), 'p5', round(p5, 6),
                    'worst', round(worst, 6), 'worst_prompt', substr(worst_prompt, 1, 500), 'images', images))
                FROM candidate_scores WHERE candidate_id = ?2),
            'workers', (SELECT json_group_array(DISTINCT w.name) FROM task_candidates tc JOIN tasks t ON t.id = tc.task_id
                JOIN workers w ON w.id = t.worker_id WHERE tc.candidate_id = c.id))
        FROM candidates c WHERE c.run_id = ?1 AND c.id = ?2
        """

    private static let images = """
        SELECT json_group_array(json_array(id, candidate_id, prompt_id, seed)) FROM (
            SELECT t.* FROM thumbnails t JOIN prompts p ON p.id = t.prompt_id WHERE p.run_id = ?1
            ORDER BY p.prompt_index, t.seed, t.id LIMIT 5000)
        """

    /// The rate of images has intervals of 5 s in a run of two minutes, 20 s in one of 20 minutes, and 60 s in longer
    /// ones.
    private static let progress = """
        WITH results AS MATERIALIZED (
            SELECT finished_at - min(finished_at) OVER () AS since, images FROM tasks
            WHERE run_id = ?1 AND state = 'done' AND kind = 'evaluate'
        ), width AS (
            SELECT CASE WHEN max(since) < 120 THEN 5 WHEN max(since) < 1200 THEN 20 ELSE 60 END AS seconds FROM results
        )
        SELECT json_object(
            'generation', json_group_array(generation), 'evaluations', json_group_array(evaluations),
            'seconds', json_group_array(round(wall_seconds, 1)), 'images', json_group_array(images),
            'worker_seconds', json_group_array(round(worker_seconds, 1)),
            'hypervolume', json_group_array(hypervolume),
            'interval', (SELECT seconds FROM width),
            'throughput', (SELECT json_group_array(json_array(start, images)) FROM (
                SELECT seconds * CAST(since / seconds AS INTEGER) AS start, sum(images) AS images
                FROM results, width GROUP BY start ORDER BY start DESC LIMIT 3000)))
        FROM (
            SELECT h.generation, h.evaluations, h.wall_seconds, h.hypervolume, c.images, c.worker_seconds
            FROM hypervolume_history h JOIN cost_so_far c ON c.run_id = h.run_id AND c.generation = h.generation
            WHERE h.run_id = ?1 ORDER BY h.generation
        )
        """

    private static let workers = """
        SELECT json_object(
            'workers', (SELECT json_group_array(json_object('id', w.id, 'name', substr(w.name, 1, 100),
                    'host', substr(w.host, 1, 100), 'cpu', substr(w.cpu, 1, 100), 'threads', w.threads,
                    'engine', w.engine, 'device', substr(w.device_class, 1, 200),
                    'first_seen', w.first_seen, 'last_seen', w.last_seen, 'evaluations', u.evaluations,
                    'images', u.images, 'busy', round(u.busy_seconds, 1), 'connected', round(u.connected_seconds, 1),
                    'utilisation', round(u.utilisation, 4), 'failures', u.failures,
                    'quarantine', substr(w.quarantine_reason, 1, 300)))
                FROM (SELECT * FROM workers ORDER BY id LIMIT 1000) w JOIN worker_utilisation u ON u.worker_id = w.id),
            'leases', (SELECT json_group_array(json_array(worker_id, round(leased_at, 2), round(ended_at, 2), outcome)) FROM (
                SELECT l.* FROM leases l JOIN tasks t ON t.id = l.task_id WHERE t.run_id = ?1
                ORDER BY l.id DESC LIMIT 4000)),
            'failures', (SELECT json_group_array(json_array(name, outcome, leases, last_at, substr(reason, 1, 300)))
                FROM worker_failures),
            'refusals', (SELECT json_group_array(json_array(reason, count, first_at, last_at)) FROM refusals WHERE run_id = ?1),
            'rechecks', (SELECT json_array(count(*), ifnull(sum(agrees), 0)) FROM rechecks),
            'now', \(unixTime))
        """

    private static let benchmarks = """
        SELECT json_object(
            'schedules', (SELECT json_group_array(json_object('id', c.id, 'label', substr(c.label, 1, 200),
                    'set', e.evaluation_set, 'ratio', round(coalesce(e.latency_ratio, e.modelled_ratio, e.cost), 6),
                    'cost', e.cost, 'quality', e.quality, 'images', e.images,
                    'gmacs', round(coalesce(e.macs, c.macs) / 1e9, 4)))
                FROM candidates c JOIN evaluations e ON e.candidate_id = c.id
                WHERE c.run_id = ?1 AND c.generation IS NULL AND e.evaluation_set <> 'calibration'),
            'scores', (SELECT json_group_array(json_object('schedule', substr(schedule, 1, 200), 'set', prompt_set,
                    'scorer', scorer, 'mean', round(mean, 6), 'standard_error', round(standard_error, 6),
                    'p5', round(p5, 6), 'worst', round(worst, 6), 'worst_prompt', substr(worst_prompt, 1, 500),
                    'images', images, 'id', candidate_id)) FROM (
                SELECT * FROM benchmark_scores WHERE run_id = ?1 LIMIT 5000)))
        """

    private static let events = """
        SELECT json_group_array(json_array(seq, at, substr(kind, 1, 60), substr(text, 1, 1000))) FROM (
            SELECT * FROM events WHERE run_id = ?1 OR run_id IS NULL ORDER BY seq DESC LIMIT 1000)
        """

    private static let counts = """
        SELECT 'ecad_tasks', 'state="' || state || '"', count(*) FROM tasks WHERE run_id = ?1 GROUP BY state
        UNION ALL SELECT 'ecad_evaluations_total', '', count(*) FROM evaluations e JOIN candidates c ON c.id = e.candidate_id
            WHERE c.run_id = ?1
        UNION ALL SELECT 'ecad_images_total', '', ifnull(sum(images), 0) FROM tasks WHERE run_id = ?1 AND state = 'done'
        UNION ALL SELECT 'ecad_images_per_second', '', ifnull(sum(images), 0) / 60.0 FROM tasks
            WHERE run_id = ?1 AND state = 'done' AND finished_at > \(unixTime) - 60
        UNION ALL SELECT 'ecad_workers_connected', '', count(*) FROM workers WHERE last_seen > \(unixTime) - 15
        UNION ALL SELECT 'ecad_worker_failures_total', '', ifnull(sum(failures), 0) FROM workers
        UNION ALL SELECT 'ecad_refusals_total', 'reason="' || reason || '"', count FROM refusals WHERE run_id = ?1
        UNION ALL SELECT 'ecad_generation', '', max(number) FROM generations WHERE run_id = ?1
        UNION ALL SELECT 'ecad_front_members', '', count(*) FROM pareto_front WHERE run_id = ?1
        UNION ALL SELECT * FROM (SELECT 'ecad_hypervolume', '', hypervolume FROM generations
            WHERE run_id = ?1 AND finished_at IS NOT NULL ORDER BY number DESC LIMIT 1)
        """
}
