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
            name: "front_ancestors",
            summary: "per front member and ancestor: generation and origin, back to the seeds",
            select: """
                WITH RECURSIVE ancestors (candidate_id, ancestor_id) AS (
                    SELECT candidate_id, candidate_id FROM pareto_front
                    UNION
                    SELECT a.candidate_id, p.parent
                    FROM ancestors a JOIN (
                        SELECT id, parent_a AS parent FROM candidates UNION ALL SELECT id, parent_b FROM candidates
                    ) p ON p.id = a.ancestor_id
                    WHERE p.parent IS NOT NULL
                )
                SELECT c.run_id, a.candidate_id, a.ancestor_id, c.generation, c.origin, c.operator,
                    c.parent_a IS NULL AND c.parent_b IS NULL AS is_seed
                FROM ancestors a JOIN candidates c ON c.id = a.ancestor_id
                WHERE a.ancestor_id <> a.candidate_id OR c.parent_a IS NULL
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
        View(
            name: "error_model",
            summary: "per candidate of a search with an error model: predicted and measured quality and log error",
            // The logarithm of a mean squared error is -ln(10)/10 times its PSNR in dB.
            select: """
                SELECT c.run_id, c.id AS candidate_id, c.generation, c.origin, c.predicted_quality AS predicted,
                    e.quality AS measured, e.quality - c.predicted_quality AS residual,
                    c.predicted_deviation AS deviation, c.predicted_log_error, -0.23025850929940457 * s.mean AS log_error
                FROM candidates c
                LEFT JOIN evaluations e ON e.candidate_id = c.id AND e.evaluation_set = 'calibration'
                LEFT JOIN score_statistics s ON s.candidate_id = c.id AND s.evaluation_set = 'calibration'
                    AND s.scorer = 'psnr'
                WHERE c.predicted_log_error IS NOT NULL
                ORDER BY c.id
                """),
    ]

    private static let qualityViews = [
        View(
            name: "candidate_scores",
            summary: "per candidate and scorer: mean, standard error, 5th percentile and worst prompt of the scores",
            select: """
                SELECT s.candidate_id, s.scorer, s.mean, s.standard_error, s.p5, s.worst, p.text AS worst_prompt, s.images,
                    s.evaluation_set
                FROM score_statistics s JOIN prompts p ON p.id = s.worst_prompt_id
                """),
        View(
            name: "prompt_loss",
            summary: "per image of an evaluated candidate: score, score of the uncached image, and the loss",
            // The uncached image has the best score of the scorers that compare with it, and of the others the score of
            // the candidate that recomputes every gene, if it was evaluated: that of the search, or that of the benchmark.
            select: """
                WITH uncached AS MATERIALIZED (
                    SELECT s.prompt_id, s.seed, s.scorer, min(s.value) AS value FROM candidates c
                    JOIN runs r ON r.id = c.run_id JOIN image_scores s ON s.candidate_id = c.id
                    WHERE c.gate_step IS NULL AND hex(c.genome) = replace(hex(zeroblob(r.gene_count / 8)), '0', 'F')
                        || CASE r.gene_count % 8 WHEN 0 THEN '' ELSE printf('%02X', (1 << r.gene_count % 8) - 1) END
                    GROUP BY s.prompt_id, s.seed, s.scorer
                )
                SELECT run_id, candidate_id, prompt, seed, scorer, value, uncached, uncached - value AS loss, evaluation_set
                FROM (
                    SELECT p.run_id, s.candidate_id, p.text AS prompt, s.seed, s.scorer, s.value, p.evaluation_set,
                        CASE s.scorer WHEN 'psnr' THEN 100.0 WHEN 'ssim' THEN 1.0 WHEN 'latent-error' THEN 0.0 ELSE u.value END
                            AS uncached
                    FROM image_scores s JOIN prompts p ON p.id = s.prompt_id
                    LEFT JOIN uncached u ON u.prompt_id = s.prompt_id AND u.seed = s.seed AND u.scorer = s.scorer
                )
                """),
    ]

    /// One row per candidate, evaluation set and scorer, in the columns of the table `score_statistics`.
    ///
    /// `filter` is a condition on `image_scores s`. The percentile interpolates linearly, like numpy.percentile.
    static func scoreStatistics(where filter: String = "true") -> String {
        """
        SELECT candidate_id, evaluation_set, scorer, images, mean,
            CASE WHEN images > 1 THEN sqrt(squares / (images - 1) / images) END AS standard_error, p5, value AS worst,
            prompt_id AS worst_prompt_id
        FROM (
            SELECT *,
                sum((value - mean) * (value - mean)) OVER everything AS squares,
                sum(CASE position
                    WHEN (images - 1) / 20 THEN value * (1 - (images - 1) % 20 / 20.0)
                    WHEN (images - 1) / 20 + 1 THEN value * ((images - 1) % 20 / 20.0) END) OVER everything AS p5
            FROM (
                SELECT s.candidate_id, p.evaluation_set, s.scorer, s.value, s.prompt_id,
                    row_number() OVER by_value - 1 AS position,
                    count(*) OVER everything AS images,
                    avg(s.value) OVER everything AS mean
                FROM image_scores s JOIN prompts p ON p.id = s.prompt_id
                WHERE \(filter)
                WINDOW by_value AS (
                        PARTITION BY s.candidate_id, s.scorer, p.evaluation_set ORDER BY s.value, p.prompt_index, s.seed),
                    everything AS (by_value ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
            )
            WINDOW everything AS (PARTITION BY candidate_id, scorer, evaluation_set)
        )
        WHERE position = 0
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
                    w.failures, w.engine, w.device_class
                FROM workers w
                ORDER BY w.name
                """),
        View(
            name: "measured_by",
            summary: "per candidate, evaluation set and worker: images, and what computed them",
            select: """
                SELECT c.run_id, c.id AS candidate_id, p.evaluation_set, count(*) AS images, w.name AS worker, s.engine,
                    s.precision, w.device_class
                FROM image_timings t JOIN candidates c ON c.id = t.candidate_id JOIN prompts p ON p.id = t.prompt_id
                JOIN workers w ON w.id = t.worker_id
                LEFT JOIN evaluation_sets s ON s.run_id = p.run_id AND s.name = p.evaluation_set
                GROUP BY c.id, p.evaluation_set, w.id
                """),
        View(
            name: "worker_failures",
            summary: "per worker and outcome of a lease: how many, when last, and a reason",
            select: """
                SELECT w.id AS worker_id, w.name, l.outcome, count(*) AS leases, max(l.ended_at) AS last_at,
                    max(t.failure) AS reason
                FROM leases l JOIN workers w ON w.id = l.worker_id JOIN tasks t ON t.id = l.task_id
                WHERE l.outcome IN ('failed', 'expired', 'lost', 'returned')
                GROUP BY w.id, l.outcome
                ORDER BY w.name, l.outcome
                """),
        View(
            name: "throughput",
            summary: "per run and minute: images, images per second and the workers that delivered results",
            select: """
                SELECT run_id, 60 * CAST(finished_at / 60 AS INTEGER) AS minute, sum(images) AS images,
                    sum(images) / 60.0 AS images_per_second, count(DISTINCT worker_id) AS workers
                FROM tasks
                WHERE state = 'done' AND kind = 'evaluate'
                GROUP BY run_id, minute
                ORDER BY run_id, minute
                """),
        View(
            name: "cost_so_far",
            summary: "per generation: images, workers' seconds and wall-clock seconds up to its end",
            select: """
                SELECT run_id, generation, sum(images) OVER since_start AS images,
                    sum(seconds) OVER since_start AS worker_seconds, sum(wall_seconds) OVER since_start AS wall_seconds,
                    hypervolume
                FROM (
                    SELECT g.run_id, g.number AS generation, g.wall_seconds, g.hypervolume,
                        ifnull(sum(t.images), 0) AS images, ifnull(sum(t.seconds), 0.0) AS seconds
                    FROM generations g LEFT JOIN tasks t ON t.run_id = g.run_id AND t.generation = g.number
                        AND t.state = 'done'
                    GROUP BY g.run_id, g.number
                )
                WINDOW since_start AS (PARTITION BY run_id ORDER BY generation)
                ORDER BY run_id, generation
                """),
    ]

    private static let benchmarkViews = [
        View(
            name: "benchmark_scores",
            summary: "per benchmarked schedule, prompt set and scorer: statistics of the scores",
            select: """
                SELECT c.run_id, c.label AS schedule, s.evaluation_set AS prompt_set, s.scorer, s.mean, s.standard_error,
                    s.p5, s.worst, p.text AS worst_prompt, s.images, s.candidate_id, b.engine, b.precision
                FROM candidates c CROSS JOIN score_statistics s ON s.candidate_id = c.id
                JOIN prompts p ON p.id = s.worst_prompt_id
                LEFT JOIN evaluation_sets b ON b.run_id = c.run_id AND b.name = s.evaluation_set
                WHERE c.generation IS NULL AND s.evaluation_set <> 'calibration'
                """),
        View(
            name: "benchmark_summary",
            summary: "per benchmarked schedule, prompt set and scorer: mean score, speed-up and MACs",
            select: """
                SELECT s.run_id, s.schedule, s.prompt_set, s.scorer, s.mean, s.standard_error, s.images,
                    1.0 / e.latency_ratio AS speedup, e.latency_ratio, e.macs, s.engine, s.precision
                FROM benchmark_scores s
                LEFT JOIN evaluations e ON e.candidate_id = s.candidate_id AND e.evaluation_set = s.prompt_set
                ORDER BY s.run_id, s.prompt_set, s.scorer, speedup
                """),
    ]
}
