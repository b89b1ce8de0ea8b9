extension Schema {
    /// A view; names and columns are a public interface for everyone who reads the file with SQL.
    struct View {
        let name: String
        /// One line for the list of named queries.
        let summary: String
        /// The SELECT statement.
        let select: String

        var sql: String { "CREATE VIEW \(name) AS\n\(select)" }
    }

    /// All views in the order of creation: later ones may use earlier ones.
    static let views = searchViews + qualityViews + clusterViews + benchmarkViews

    private static let searchViews = [
        View(
            name: "pareto_front",
            summary: "non-dominated candidates of each run (cost minimised, quality maximised), slowest first",
            // If the cost is the modelled latency, the front was selected by the modelled ratio, so that is reported.
            // Ordered by ascending cost, then descending quality, a candidate is dominated if an earlier one has at
            // least its quality. GROUPS excludes ties: of two equal candidates neither dominates.
            select: """
                WITH ranked AS (
                    SELECT c.run_id, c.id AS candidate_id, c.generation, coalesce(e.macs, c.macs) AS macs,
                        CASE r.cost_objective WHEN 'latency' THEN coalesce(e.modelled_ratio, e.latency_ratio)
                            ELSE coalesce(e.latency_ratio, e.modelled_ratio) END AS latency_ratio,
                        e.latency_ratio AS measured_ratio, e.cost, e.quality, e.images,
                        max(e.quality) OVER (
                            PARTITION BY c.run_id ORDER BY e.cost, e.quality DESC
                            GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS best_before
                    FROM evaluations e JOIN candidates c ON c.id = e.candidate_id JOIN runs r ON r.id = c.run_id
                    WHERE e.evaluation_set = 'calibration' AND c.generation IS NOT NULL
                )
                SELECT run_id, candidate_id, generation, 1.0 / latency_ratio AS speedup, latency_ratio, macs, quality,
                    images, cost, measured_ratio
                FROM ranked
                WHERE best_before IS NULL OR quality > best_before
                ORDER BY run_id, speedup, cost DESC, candidate_id
                """),
        View(
            name: "hypervolume_history",
            summary: "per finished generation: cumulative evaluations and wall-clock seconds, hypervolume of the front",
            select: """
                SELECT run_id, number AS generation,
                    sum(evaluations) OVER since_start AS evaluations,
                    sum(wall_seconds) OVER since_start AS wall_seconds,
                    hypervolume
                FROM generations
                WHERE finished_at IS NOT NULL
                WINDOW since_start AS (PARTITION BY run_id ORDER BY number)
                ORDER BY run_id, number
                """),
        View(
            name: "lineage",
            summary: "one row per candidate and parent; candidates without parents have one row with NULL",
            select: """
                SELECT id AS candidate_id, parent_a AS parent_id, operator, origin FROM candidates
                UNION ALL
                SELECT id, parent_b, operator, origin FROM candidates
                WHERE parent_b IS NOT NULL AND parent_b IS NOT parent_a
                """),
        View(
            name: "gene_usage",
            summary: "per step, block and component: share of the front's candidates that recompute it",
            // instr converts a hexadecimal digit to its value; '0' is not in the string and yields 0. The second digit
            // of a byte has its lower four genes. CROSS JOIN makes the genes the outer loop, which avoids a sort.
            select: """
                WITH front AS MATERIALIZED (
                    SELECT f.run_id, hex(c.genome) AS digits
                    FROM pareto_front f JOIN candidates c ON c.id = f.candidate_id
                )
                SELECT g.run_id, g.step, g.block, g.component,
                    avg((instr('123456789ABCDEF', substr(f.digits, g.gene / 8 * 2 + 2 - g.gene % 8 / 4, 1)) >> g.gene % 4) & 1)
                        AS recompute_share
                FROM genes g CROSS JOIN front f ON f.run_id = g.run_id
                GROUP BY g.run_id, g.gene
                """),
        View(
            name: "latency_model_error",
            summary: "per candidate: modelled latency ratio, measured ratio and relative error",
            select: """
                SELECT candidate_id, modelled_ratio, latency_ratio AS measured_ratio,
                    modelled_ratio / latency_ratio - 1 AS relative_error, evaluation_set
                FROM evaluations
                WHERE modelled_ratio IS NOT NULL AND latency_ratio IS NOT NULL
                """),
    ]

    private static let qualityViews = [
        View(
            name: "candidate_scores",
            summary: "per candidate and scorer: mean, standard error, 5th percentile and worst prompt of the scores",
            select: """
                \(scoreStatistics(from: "image_scores s JOIN prompts p ON p.id = s.prompt_id"))
                SELECT candidate_id, scorer, mean, standard_error, p5, worst, worst_prompt, images, evaluation_set
                FROM statistics
                """)
    ]

    /// A `WITH` clause that ends in `statistics`, one row per candidate, evaluation set and scorer.
    ///
    /// `source` joins `image_scores s` and `prompts p`. Window functions over equal partitions instead of GROUP BY let
    /// SQLite push a condition on `candidate_id` down to the primary key: one candidate among millions of scores then
    /// takes milliseconds. The percentile interpolates linearly, like numpy.percentile.
    private static func scoreStatistics(from source: String) -> String {
        """
        WITH ranked AS (
            SELECT s.candidate_id, p.evaluation_set, s.scorer, s.value, p.text AS prompt,
                row_number() OVER by_value - 1 AS position,
                count(*) OVER everything AS images,
                avg(s.value) OVER everything AS mean
            FROM \(source)
            WINDOW by_value AS (
                    PARTITION BY s.candidate_id, s.scorer, p.evaluation_set ORDER BY s.value, p.prompt_index, s.seed),
                everything AS (by_value ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        ),
        summed AS (
            SELECT *,
                sum((value - mean) * (value - mean)) OVER everything AS squares,
                sum(CASE position
                    WHEN (images - 1) / 20 THEN value * (1 - (images - 1) % 20 / 20.0)
                    WHEN (images - 1) / 20 + 1 THEN value * ((images - 1) % 20 / 20.0) END) OVER everything AS p5
            FROM ranked
            WINDOW everything AS (PARTITION BY candidate_id, scorer, evaluation_set)
        ),
        statistics AS (
            SELECT candidate_id, evaluation_set, scorer, mean, images, p5, value AS worst, prompt AS worst_prompt,
                CASE WHEN images > 1 THEN sqrt(squares / (images - 1) / images) END AS standard_error
            FROM summed WHERE position = 0
        )
        """
    }

    private static let clusterViews = [
        View(
            name: "worker_utilisation",
            summary: "per worker: candidates and images measured, busy and connected seconds, failed attempts",
            select: """
                SELECT w.id AS worker_id, w.name,
                    (SELECT count(DISTINCT tc.candidate_id)
                        FROM tasks t JOIN task_candidates tc ON tc.task_id = t.id
                        WHERE t.worker_id = w.id AND t.state = 'done' AND t.kind = 'evaluate') AS evaluations,
                    (SELECT ifnull(sum(t.images), 0) FROM tasks t WHERE t.worker_id = w.id AND t.state = 'done') AS images,
                    w.busy_seconds, w.connected_seconds,
                    CASE WHEN w.connected_seconds > 0 THEN w.busy_seconds / w.connected_seconds END AS utilisation,
                    w.failures
                FROM workers w
                ORDER BY w.name
                """)
    ]

    private static let benchmarkViews = [
        View(
            name: "benchmark_scores",
            summary: "per benchmarked schedule, prompt set and scorer: statistics of the scores",
            select: """
                \(scoreStatistics(from: """
                    candidates b CROSS JOIN image_scores s ON s.candidate_id = b.id
                    JOIN prompts p ON p.id = s.prompt_id AND b.generation IS NULL
                    """))
                SELECT c.run_id, c.label AS schedule, s.evaluation_set AS prompt_set, s.scorer, s.mean, s.standard_error,
                    s.p5, s.worst, s.worst_prompt, s.images, s.candidate_id
                FROM statistics s JOIN candidates c ON c.id = s.candidate_id
                """),
        View(
            name: "benchmark_summary",
            summary: "per benchmarked schedule, prompt set and scorer: mean score, speed-up and MACs",
            select: """
                SELECT s.run_id, s.schedule, s.prompt_set, s.scorer, s.mean, s.standard_error, s.images,
                    1.0 / e.latency_ratio AS speedup, e.latency_ratio, e.macs
                FROM benchmark_scores s
                LEFT JOIN evaluations e ON e.candidate_id = s.candidate_id AND e.evaluation_set = s.prompt_set
                ORDER BY s.run_id, s.prompt_set, s.scorer, speedup
                """),
    ]
}
