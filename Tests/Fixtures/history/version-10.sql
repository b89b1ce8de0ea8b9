-- A history of schema version 10, as the releases of that version wrote it.

CREATE TABLE schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at REAL NOT NULL
) STRICT;
INSERT INTO schema_migrations VALUES(1,'create the tables',100.0);
INSERT INTO schema_migrations VALUES(2,'cost tables, evaluations shared by runs',200.0);
INSERT INTO schema_migrations VALUES(3,'refusals, canaries, rechecks and quarantine',300.0);
INSERT INTO schema_migrations VALUES(4,'gates of benchmarked TGATE schedules',400.0);
INSERT INTO schema_migrations VALUES(5,'statistics of the scores',1.7957606126636376381e+09);
INSERT INTO schema_migrations VALUES(6,'engines, precisions and device classes',1.79577282328411960603e+09);
INSERT INTO schema_migrations VALUES(7,'reuse errors',1795772900.0);
INSERT INTO schema_migrations VALUES(8,'losses of benchmarks',1795784400.0);
INSERT INTO schema_migrations VALUES(9,'predictions of the error model',1795780000.0);
INSERT INTO schema_migrations VALUES(10,'benchmarks without the search''s own schedule',1795860000.0);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    configuration TEXT NOT NULL, -- TOML, with all defaults resolved
    cost_objective TEXT NOT NULL, -- minimised
    quality_objective TEXT NOT NULL, -- maximised
    shape TEXT NOT NULL CHECK (json_valid(shape)), -- the model as the schedules see it, JSON
    gene_count INTEGER NOT NULL CHECK (gene_count > 0),
    model_hash TEXT NOT NULL,
    seed INTEGER NOT NULL,
    reference_cost REAL, -- the hypervolume's reference point
    reference_quality REAL,
    status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'stopped', 'failed')),
    created_at REAL NOT NULL,
    finished_at REAL, evaluation_key TEXT, canary BLOB,
    CHECK ((reference_cost IS NULL) = (reference_quality IS NULL)),
    CHECK ((finished_at IS NULL) = (status = 'running'))
) STRICT;
INSERT INTO runs VALUES(1,'shapes','[objectives]
cost = "latency"
quality = "image-reward-kept"
','latency','image-reward-kept','{"steps":2}',12,'model',7,1.0,0.0,'running',100.0,NULL,NULL,NULL);
CREATE TABLE genes (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    gene INTEGER NOT NULL CHECK (gene >= 0), -- position in the genome
    step INTEGER NOT NULL,
    block INTEGER NOT NULL,
    component TEXT NOT NULL,
    PRIMARY KEY (run_id, gene)
) STRICT, WITHOUT ROWID;
INSERT INTO genes VALUES(1,0,0,0,'attn1');
INSERT INTO genes VALUES(1,1,0,0,'attn2');
INSERT INTO genes VALUES(1,2,0,0,'ff');
INSERT INTO genes VALUES(1,3,0,1,'attn1');
INSERT INTO genes VALUES(1,4,0,1,'attn2');
INSERT INTO genes VALUES(1,5,0,1,'ff');
INSERT INTO genes VALUES(1,6,1,0,'attn1');
INSERT INTO genes VALUES(1,7,1,0,'attn2');
INSERT INTO genes VALUES(1,8,1,0,'ff');
INSERT INTO genes VALUES(1,9,1,1,'attn1');
INSERT INTO genes VALUES(1,10,1,1,'attn2');
INSERT INTO genes VALUES(1,11,1,1,'ff');
CREATE TABLE prompts (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    evaluation_set TEXT NOT NULL, -- 'calibration' is what the search uses
    prompt_index INTEGER NOT NULL CHECK (prompt_index >= 0),
    text TEXT NOT NULL,
    UNIQUE (run_id, evaluation_set, prompt_index)
) STRICT;
INSERT INTO prompts VALUES(1,1,'calibration',0,'a red cube');
INSERT INTO prompts VALUES(2,1,'calibration',1,'a blue ball');
CREATE TABLE workers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    cpu TEXT NOT NULL,
    blas TEXT NOT NULL,
    threads INTEGER NOT NULL CHECK (threads > 0),
    engine_version TEXT NOT NULL,
    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL,
    connected_seconds REAL NOT NULL DEFAULT 0 CHECK (connected_seconds >= 0),
    busy_seconds REAL NOT NULL DEFAULT 0 CHECK (busy_seconds >= 0),
    failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0)
, quarantined_at REAL, quarantine_reason TEXT, engine TEXT NOT NULL DEFAULT 'native' CHECK (engine IN ('native', 'torch')), device_class TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO workers VALUES(1,'w1','host','CPU','OpenBLAS',2,'1.0',100.0,110.0,0.0,6.0,0,NULL,NULL,'native','CPU, OpenBLAS, 2 threads');
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER REFERENCES runs ON DELETE CASCADE,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL -- a sentence or JSON
) STRICT;
INSERT INTO events VALUES(1,1,102.0,'joined','w1');
CREATE TABLE generations (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number >= 0),
    search_state BLOB NOT NULL, -- after the generation's ask; once it is finished, after its tell
    started_at REAL NOT NULL,
    finished_at REAL,
    hypervolume REAL,
    evaluations INTEGER NOT NULL DEFAULT 0, -- finished in this generation
    wall_seconds REAL NOT NULL DEFAULT 0 CHECK (wall_seconds >= 0), -- worked on this generation
    PRIMARY KEY (run_id, number)
) STRICT;
INSERT INTO generations VALUES(1,0,X'010203',101.0,NULL,NULL,0,0.0);
CREATE TABLE candidates (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    generation INTEGER, -- NULL for a schedule that was only benchmarked
    label TEXT, -- the benchmarked schedule's name
    genome BLOB NOT NULL, -- gene g is bit g % 8, lowest first, of byte g / 8; 1 = recompute
    genome_sha256 TEXT NOT NULL CHECK (length(genome_sha256) = 64), -- of the ASCII 0/1 string
    canonical_hash TEXT NOT NULL, -- equal for genomes that act alike
    parent_a INTEGER REFERENCES candidates ON DELETE SET NULL,
    parent_b INTEGER REFERENCES candidates ON DELETE SET NULL,
    operator TEXT,
    origin TEXT NOT NULL,
    macs INTEGER CHECK (macs >= 0), gate_step INTEGER CHECK (gate_step > 0), predicted_log_error REAL CHECK (abs(predicted_log_error) < 1e300), predicted_quality REAL CHECK (abs(predicted_quality) < 1e300), predicted_deviation REAL CHECK (predicted_deviation >= 0),
    FOREIGN KEY (run_id, generation) REFERENCES generations (run_id, number) ON DELETE CASCADE,
    CHECK (generation IS NOT NULL OR label IS NOT NULL)
) STRICT;
INSERT INTO candidates VALUES(1,1,0,NULL,X'FF0F','0000000000000000000000000000000000000000000000000000000000000001','c1',NULL,NULL,NULL,'fora',1000,NULL,-4.5,NULL,NULL);
INSERT INTO candidates VALUES(2,1,0,NULL,X'F00F','0000000000000000000000000000000000000000000000000000000000000002','c2',NULL,NULL,NULL,'random',2000,NULL,NULL,NULL,NULL);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY,
    candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
    evaluation_set TEXT NOT NULL,
    cost REAL NOT NULL CHECK (abs(cost) < 1e300),
    quality REAL NOT NULL CHECK (abs(quality) < 1e300),
    latency_ratio REAL CHECK (latency_ratio > 0), -- candidate seconds / uncached seconds, measured
    modelled_ratio REAL CHECK (modelled_ratio > 0), -- the same from the cost table
    macs INTEGER CHECK (macs >= 0),
    images INTEGER NOT NULL CHECK (images >= 0),
    denoise_seconds REAL NOT NULL CHECK (denoise_seconds >= 0), -- sum over the images
    reference_seconds REAL NOT NULL CHECK (reference_seconds >= 0), -- uncached, sum over the images
    finished_at REAL NOT NULL,
    UNIQUE (candidate_id, evaluation_set)
) STRICT;
INSERT INTO evaluations VALUES(1,1,'calibration',0.5,0.375,0.5,NULL,1000,2,4.0,8.0,110.0);
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    generation INTEGER, -- NULL for a benchmark
    evaluation_set TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('evaluate', 'render')),
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'leased', 'done', 'failed')),
    shard TEXT NOT NULL CHECK (json_valid(shard)), -- [[prompt_index, seed], ...]
    images INTEGER NOT NULL CHECK (images > 0), -- candidates x shard
    payload BLOB,
    attempts INTEGER NOT NULL DEFAULT 0, -- leases given
    failures INTEGER NOT NULL DEFAULT 0, -- attempts that failed by the task's own fault
    failure TEXT, -- why it was given up
    worker_id INTEGER REFERENCES workers, -- whose result was taken
    seconds REAL, -- that worker's, from start to result
    created_at REAL NOT NULL,
    finished_at REAL,
    FOREIGN KEY (run_id, generation) REFERENCES generations (run_id, number) ON DELETE CASCADE,
    CHECK ((finished_at IS NULL) = (state IN ('pending', 'leased')))
) STRICT;
INSERT INTO tasks VALUES(1,1,0,'calibration','evaluate','done','[[0,1],[1,9]]',2,NULL,1,0,NULL,1,6.0,101.0,110.0);
INSERT INTO tasks VALUES(2,1,0,'calibration','evaluate','leased','[[0,1],[1,9]]',2,NULL,1,0,NULL,NULL,NULL,101.0,NULL);
CREATE TABLE task_candidates (
    task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
    PRIMARY KEY (task_id, candidate_id)
) STRICT, WITHOUT ROWID;
INSERT INTO task_candidates VALUES(1,1);
INSERT INTO task_candidates VALUES(2,2);
CREATE TABLE leases (
    id INTEGER PRIMARY KEY,
    task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    worker_id INTEGER NOT NULL REFERENCES workers,
    epoch INTEGER NOT NULL CHECK (epoch > 0), -- 1 for the task's first lease
    leased_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    ended_at REAL,
    outcome TEXT CHECK (outcome IN ('done', 'superseded', 'failed', 'expired', 'lost', 'returned')),
    UNIQUE (task_id, epoch),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
) STRICT;
INSERT INTO leases VALUES(1,1,1,1,102.0,120.0,110.0,'done');
INSERT INTO leases VALUES(2,2,1,1,110.0,130.0,NULL,NULL);
CREATE TABLE image_scores (
    candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
    prompt_id INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE,
    seed INTEGER NOT NULL,
    scorer TEXT NOT NULL,
    value REAL NOT NULL CHECK (abs(value) < 1e300), -- higher is better
    PRIMARY KEY (candidate_id, prompt_id, seed, scorer)
) STRICT, WITHOUT ROWID;
INSERT INTO image_scores VALUES(1,1,1,'image-reward-kept',0.5);
INSERT INTO image_scores VALUES(1,2,9,'image-reward-kept',0.25);
CREATE TABLE image_timings (
    candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
    prompt_id INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE,
    seed INTEGER NOT NULL,
    task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    worker_id INTEGER NOT NULL REFERENCES workers,
    denoise_seconds REAL NOT NULL CHECK (denoise_seconds >= 0 AND denoise_seconds < 1e300),
    reference_seconds REAL CHECK (reference_seconds >= 0 AND reference_seconds < 1e300), -- uncached, same worker
    decode_seconds REAL NOT NULL CHECK (decode_seconds >= 0 AND decode_seconds < 1e300),
    PRIMARY KEY (candidate_id, prompt_id, seed, task_id)
) STRICT, WITHOUT ROWID;
INSERT INTO image_timings VALUES(1,1,1,1,1,2.0,4.0,0.5);
INSERT INTO image_timings VALUES(1,2,9,1,1,2.0,4.0,0.5);
CREATE TABLE thumbnails (
    id INTEGER PRIMARY KEY,
    candidate_id INTEGER REFERENCES candidates ON DELETE CASCADE, -- NULL for the uncached reference
    prompt_id INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE,
    seed INTEGER NOT NULL,
    png BLOB NOT NULL
) STRICT;
INSERT INTO thumbnails VALUES(1,1,1,1,X'89504E47');
CREATE TABLE cost_tables (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    worker_id INTEGER REFERENCES workers, -- who measured it; NULL for one that the configuration names
    worker_class TEXT NOT NULL, -- processor, BLAS, threads, engine
    costs TEXT NOT NULL CHECK (json_valid(costs)), -- seconds by phase and component, for a batch
    uncached_seconds REAL CHECK (uncached_seconds > 0), -- of the reference beside it, for a batch
    fit_error REAL CHECK (fit_error >= 0), -- median relative error of the schedules that it was fitted to
    is_objective INTEGER NOT NULL CHECK (is_objective IN (0, 1)), -- 1 for the one that the run's costs use
    measured_at REAL NOT NULL
) STRICT;
CREATE TABLE refusals (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    reason TEXT NOT NULL, -- one of a fixed set, so that peers cannot fill the table
    count INTEGER NOT NULL CHECK (count > 0),
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    PRIMARY KEY (run_id, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE rechecks (
    task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
    worker_id INTEGER NOT NULL REFERENCES workers, -- who computed the task once more
    checked_worker_id INTEGER NOT NULL REFERENCES workers, -- whose result was taken
    agrees INTEGER NOT NULL CHECK (agrees IN (0, 1)),
    largest_difference REAL NOT NULL, -- of all scores
    at REAL NOT NULL,
    PRIMARY KEY (task_id, worker_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE score_statistics (
    candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
    evaluation_set TEXT NOT NULL,
    scorer TEXT NOT NULL,
    images INTEGER NOT NULL CHECK (images > 0),
    mean REAL NOT NULL,
    standard_error REAL, -- NULL for a single image
    p5 REAL NOT NULL, -- 5th percentile, interpolated linearly
    worst REAL NOT NULL,
    worst_prompt_id INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE,
    PRIMARY KEY (candidate_id, evaluation_set, scorer)
) STRICT, WITHOUT ROWID;
INSERT INTO score_statistics VALUES(1,'calibration','image-reward-kept',2,0.375,0.125,0.2625,0.25,2);
CREATE INDEX events_run ON events (run_id);
CREATE UNIQUE INDEX candidates_canonical ON candidates (run_id, canonical_hash) WHERE generation IS NOT NULL;
CREATE UNIQUE INDEX candidates_label ON candidates (run_id, label) WHERE generation IS NULL;
CREATE INDEX candidates_generation ON candidates (run_id, generation);
CREATE INDEX candidates_parent_a ON candidates (parent_a);
CREATE INDEX candidates_parent_b ON candidates (parent_b);
CREATE INDEX tasks_generation ON tasks (run_id, generation);
CREATE INDEX tasks_state ON tasks (run_id, state);
CREATE INDEX tasks_worker ON tasks (worker_id);
CREATE INDEX task_candidates_candidate ON task_candidates (candidate_id);
CREATE INDEX leases_worker ON leases (worker_id);
CREATE INDEX leases_open ON leases (expires_at) WHERE ended_at IS NULL;
CREATE INDEX image_scores_prompt ON image_scores (prompt_id);
CREATE INDEX image_timings_prompt ON image_timings (prompt_id);
CREATE INDEX image_timings_task ON image_timings (task_id);
CREATE INDEX image_timings_worker ON image_timings (worker_id);
CREATE UNIQUE INDEX thumbnails_image ON thumbnails (prompt_id, seed, ifnull(candidate_id, 0));
CREATE INDEX thumbnails_candidate ON thumbnails (candidate_id);
CREATE INDEX runs_evaluation_key ON runs (evaluation_key);
CREATE INDEX cost_tables_run ON cost_tables (run_id);
CREATE INDEX cost_tables_worker ON cost_tables (worker_id);
CREATE UNIQUE INDEX cost_tables_objective ON cost_tables (run_id) WHERE is_objective = 1;
CREATE INDEX rechecks_worker ON rechecks (worker_id);
CREATE INDEX rechecks_checked_worker ON rechecks (checked_worker_id);
CREATE INDEX score_statistics_prompt ON score_statistics (worst_prompt_id);
CREATE TABLE evaluation_sets (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    name TEXT NOT NULL, -- 'calibration', or of a benchmark
    engine TEXT NOT NULL CHECK (engine IN ('native', 'torch')), -- computed all images of the set
    precision TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO evaluation_sets VALUES(1,'calibration','native','float32');
CREATE TABLE reuse_errors (
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    prompt_id INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE,
    seed INTEGER NOT NULL,
    errors BLOB NOT NULL, -- by chain, step and source: 32-bit floats, little-endian
    worker_id INTEGER NOT NULL REFERENCES workers,
    seconds REAL NOT NULL CHECK (seconds >= 0), -- from start to result on that worker
    image_equivalents REAL NOT NULL CHECK (image_equivalents > 0), -- uncached images that take as long
    measured_at REAL NOT NULL,
    PRIMARY KEY (run_id, prompt_id, seed)
) STRICT, WITHOUT ROWID;
CREATE INDEX reuse_errors_prompt ON reuse_errors (prompt_id);
CREATE INDEX reuse_errors_worker ON reuse_errors (worker_id);
CREATE VIEW pareto_front AS
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
ORDER BY run_id, speedup, cost DESC, candidate_id;
CREATE VIEW hypervolume_history AS
SELECT run_id, number AS generation,
    sum(evaluations) OVER since_start AS evaluations,
    sum(wall_seconds) OVER since_start AS wall_seconds,
    hypervolume
FROM generations
WHERE finished_at IS NOT NULL
WINDOW since_start AS (PARTITION BY run_id ORDER BY number)
ORDER BY run_id, number;
CREATE VIEW lineage AS
SELECT id AS candidate_id, parent_a AS parent_id, operator, origin FROM candidates
UNION ALL
SELECT id, parent_b, operator, origin FROM candidates
WHERE parent_b IS NOT NULL AND parent_b IS NOT parent_a;
CREATE VIEW front_ancestors AS
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
WHERE a.ancestor_id <> a.candidate_id OR c.parent_a IS NULL;
CREATE VIEW gene_usage AS
WITH front AS MATERIALIZED (
    SELECT f.run_id, hex(c.genome) AS digits
    FROM pareto_front f JOIN candidates c ON c.id = f.candidate_id
)
SELECT g.run_id, g.step, g.block, g.component,
    avg((instr('123456789ABCDEF', substr(f.digits, g.gene / 8 * 2 + 2 - g.gene % 8 / 4, 1)) >> g.gene % 4) & 1)
        AS recompute_share
FROM genes g CROSS JOIN front f ON f.run_id = g.run_id
GROUP BY g.run_id, g.gene;
CREATE VIEW latency_model_error AS
SELECT candidate_id, modelled_ratio, latency_ratio AS measured_ratio,
    modelled_ratio / latency_ratio - 1 AS relative_error, evaluation_set
FROM evaluations
WHERE modelled_ratio IS NOT NULL AND latency_ratio IS NOT NULL;
CREATE VIEW error_model AS
SELECT c.run_id, c.id AS candidate_id, c.generation, c.origin, c.predicted_quality AS predicted,
    e.quality AS measured, e.quality - c.predicted_quality AS residual,
    c.predicted_deviation AS deviation, c.predicted_log_error, -0.23025850929940457 * s.mean AS log_error
FROM candidates c
LEFT JOIN evaluations e ON e.candidate_id = c.id AND e.evaluation_set = 'calibration'
LEFT JOIN score_statistics s ON s.candidate_id = c.id AND s.evaluation_set = 'calibration'
    AND s.scorer = 'psnr'
WHERE c.predicted_log_error IS NOT NULL
ORDER BY c.id;
CREATE VIEW candidate_scores AS
SELECT s.candidate_id, s.scorer, s.mean, s.standard_error, s.p5, s.worst, p.text AS worst_prompt, s.images,
    s.evaluation_set
FROM score_statistics s JOIN prompts p ON p.id = s.worst_prompt_id;
CREATE VIEW prompt_loss AS
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
);
CREATE VIEW worker_utilisation AS
SELECT w.id AS worker_id, w.name,
    (SELECT count(DISTINCT tc.candidate_id)
        FROM tasks t JOIN task_candidates tc ON tc.task_id = t.id
        WHERE t.worker_id = w.id AND t.state = 'done' AND t.kind = 'evaluate') AS evaluations,
    (SELECT ifnull(sum(t.images), 0) FROM tasks t WHERE t.worker_id = w.id AND t.state = 'done') AS images,
    w.busy_seconds, w.connected_seconds,
    CASE WHEN w.connected_seconds > 0 THEN w.busy_seconds / w.connected_seconds END AS utilisation,
    w.failures, w.engine, w.device_class
FROM workers w
ORDER BY w.name;
CREATE VIEW measured_by AS
SELECT c.run_id, c.id AS candidate_id, p.evaluation_set, count(*) AS images, w.name AS worker, s.engine,
    s.precision, w.device_class
FROM image_timings t JOIN candidates c ON c.id = t.candidate_id JOIN prompts p ON p.id = t.prompt_id
JOIN workers w ON w.id = t.worker_id
LEFT JOIN evaluation_sets s ON s.run_id = p.run_id AND s.name = p.evaluation_set
GROUP BY c.id, p.evaluation_set, w.id;
CREATE VIEW worker_failures AS
SELECT w.id AS worker_id, w.name, l.outcome, count(*) AS leases, max(l.ended_at) AS last_at,
    max(t.failure) AS reason
FROM leases l JOIN workers w ON w.id = l.worker_id JOIN tasks t ON t.id = l.task_id
WHERE l.outcome IN ('failed', 'expired', 'lost', 'returned')
GROUP BY w.id, l.outcome
ORDER BY w.name, l.outcome;
CREATE VIEW throughput AS
SELECT run_id, 60 * CAST(finished_at / 60 AS INTEGER) AS minute, sum(images) AS images,
    sum(images) / 60.0 AS images_per_second, count(DISTINCT worker_id) AS workers
FROM tasks
WHERE state = 'done' AND kind = 'evaluate'
GROUP BY run_id, minute
ORDER BY run_id, minute;
CREATE VIEW cost_so_far AS
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
ORDER BY run_id, generation;
CREATE VIEW benchmark_scores AS
SELECT c.run_id, c.label AS schedule, s.evaluation_set AS prompt_set, s.scorer, s.mean, s.standard_error,
    s.p5, s.worst, p.text AS worst_prompt, s.images, s.candidate_id, b.engine, b.precision
FROM candidates c CROSS JOIN score_statistics s ON s.candidate_id = c.id
JOIN prompts p ON p.id = s.worst_prompt_id
LEFT JOIN evaluation_sets b ON b.run_id = c.run_id AND b.name = s.evaluation_set
WHERE c.generation IS NULL AND s.evaluation_set <> 'calibration';
CREATE VIEW benchmark_summary AS
SELECT s.run_id, s.schedule, s.prompt_set, s.scorer, s.mean, s.standard_error, s.images,
    1.0 / e.latency_ratio AS speedup, e.latency_ratio, e.macs, s.engine, s.precision
FROM benchmark_scores s
LEFT JOIN evaluations e ON e.candidate_id = s.candidate_id AND e.evaluation_set = s.prompt_set
ORDER BY s.run_id, s.prompt_set, s.scorer, speedup;
PRAGMA application_id = 1162035524;
PRAGMA user_version = 10;
