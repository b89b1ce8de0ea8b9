// The SQL of the migrations. Comments inside CREATE TABLE are stored in the file and shown by the sqlite3 shell's
// `.schema`. Times are Unix seconds, durations seconds. Deleting a generation deletes its candidates and tasks, and
// their measurements.
extension Schema {
    // MARK: - Version 1

    static let tables = runTables + candidateTables + taskTables + measurementTables

    private static let runTables = """
        CREATE TABLE schema_migrations (
            version INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            applied_at REAL NOT NULL
        ) STRICT;

        CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            configuration TEXT NOT NULL, -- TOML, all defaults resolved
            cost_objective TEXT NOT NULL, -- minimised
            quality_objective TEXT NOT NULL, -- maximised
            shape TEXT NOT NULL CHECK (json_valid(shape)), -- steps, blocks and components, JSON
            gene_count INTEGER NOT NULL CHECK (gene_count > 0),
            model_hash TEXT NOT NULL,
            seed INTEGER NOT NULL,
            reference_cost REAL, -- reference point of the hypervolume
            reference_quality REAL,
            status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'stopped', 'failed')),
            created_at REAL NOT NULL,
            finished_at REAL,
            CHECK ((reference_cost IS NULL) = (reference_quality IS NULL)),
            CHECK ((finished_at IS NULL) = (status = 'running'))
        ) STRICT;

        CREATE TABLE genes (
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            gene INTEGER NOT NULL CHECK (gene >= 0), -- position in the genome
            step INTEGER NOT NULL,
            block INTEGER NOT NULL,
            component TEXT NOT NULL,
            PRIMARY KEY (run_id, gene)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE prompts (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            evaluation_set TEXT NOT NULL, -- 'calibration' for the search
            prompt_index INTEGER NOT NULL CHECK (prompt_index >= 0),
            text TEXT NOT NULL,
            UNIQUE (run_id, evaluation_set, prompt_index)
        ) STRICT;

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
        ) STRICT;

        CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER REFERENCES runs ON DELETE CASCADE,
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            text TEXT NOT NULL -- a sentence or JSON
        ) STRICT;
        CREATE INDEX events_run ON events (run_id);

        """

    private static let candidateTables = """
        CREATE TABLE generations (
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            number INTEGER NOT NULL CHECK (number >= 0),
            search_state BLOB NOT NULL, -- after the ask; after the tell once finished
            started_at REAL NOT NULL,
            finished_at REAL,
            hypervolume REAL,
            evaluations INTEGER NOT NULL DEFAULT 0, -- complete when the generation finished
            wall_seconds REAL NOT NULL DEFAULT 0 CHECK (wall_seconds >= 0), -- without coordinator downtime
            PRIMARY KEY (run_id, number)
        ) STRICT;

        CREATE TABLE candidates (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            generation INTEGER, -- NULL for a schedule that was only benchmarked
            label TEXT, -- name of a benchmarked schedule
            genome BLOB NOT NULL, -- gene g is bit g % 8, lowest first, of byte g / 8; 1 = recompute
            genome_sha256 TEXT NOT NULL CHECK (length(genome_sha256) = 64), -- of the ASCII 0/1 string
            canonical_hash TEXT NOT NULL, -- equal for genomes that generate the same images
            parent_a INTEGER REFERENCES candidates ON DELETE SET NULL,
            parent_b INTEGER REFERENCES candidates ON DELETE SET NULL,
            operator TEXT,
            origin TEXT NOT NULL,
            macs INTEGER CHECK (macs >= 0),
            FOREIGN KEY (run_id, generation) REFERENCES generations (run_id, number) ON DELETE CASCADE,
            CHECK (generation IS NOT NULL OR label IS NOT NULL)
        ) STRICT;
        CREATE UNIQUE INDEX candidates_canonical ON candidates (run_id, canonical_hash) WHERE generation IS NOT NULL;
        CREATE UNIQUE INDEX candidates_label ON candidates (run_id, label) WHERE generation IS NULL;
        CREATE INDEX candidates_generation ON candidates (run_id, generation);
        CREATE INDEX candidates_parent_a ON candidates (parent_a);
        CREATE INDEX candidates_parent_b ON candidates (parent_b);

        CREATE TABLE evaluations (
            id INTEGER PRIMARY KEY,
            candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
            evaluation_set TEXT NOT NULL,
            cost REAL NOT NULL CHECK (abs(cost) < 1e300),
            quality REAL NOT NULL CHECK (abs(quality) < 1e300),
            latency_ratio REAL CHECK (latency_ratio > 0), -- measured seconds / uncached seconds
            modelled_ratio REAL CHECK (modelled_ratio > 0), -- predicted by the cost table
            macs INTEGER CHECK (macs >= 0),
            images INTEGER NOT NULL CHECK (images >= 0),
            denoise_seconds REAL NOT NULL CHECK (denoise_seconds >= 0), -- sum over the images
            reference_seconds REAL NOT NULL CHECK (reference_seconds >= 0), -- uncached, sum over the images
            finished_at REAL NOT NULL,
            UNIQUE (candidate_id, evaluation_set)
        ) STRICT;

        """

    private static let taskTables = """
        CREATE TABLE tasks (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            generation INTEGER, -- NULL for a benchmark
            evaluation_set TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('evaluate', 'render')),
            state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'leased', 'done', 'failed')),
            shard TEXT NOT NULL CHECK (json_valid(shard)), -- [[prompt_index, seed], ...]
            images INTEGER NOT NULL CHECK (images > 0), -- candidates x shard
            payload BLOB, -- unused
            attempts INTEGER NOT NULL DEFAULT 0, -- epoch of the latest lease
            failures INTEGER NOT NULL DEFAULT 0, -- attempts that failed because of the task
            failure TEXT, -- reason of state 'failed'
            worker_id INTEGER REFERENCES workers, -- worker of the stored result
            seconds REAL, -- from start to result on that worker
            created_at REAL NOT NULL,
            finished_at REAL,
            FOREIGN KEY (run_id, generation) REFERENCES generations (run_id, number) ON DELETE CASCADE,
            CHECK ((finished_at IS NULL) = (state IN ('pending', 'leased')))
        ) STRICT;
        CREATE INDEX tasks_generation ON tasks (run_id, generation);
        CREATE INDEX tasks_state ON tasks (run_id, state);
        CREATE INDEX tasks_worker ON tasks (worker_id);

        CREATE TABLE task_candidates (
            task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
            candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
            PRIMARY KEY (task_id, candidate_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX task_candidates_candidate ON task_candidates (candidate_id);

        CREATE TABLE leases (
            id INTEGER PRIMARY KEY,
            task_id INTEGER NOT NULL REFERENCES tasks ON DELETE CASCADE,
            worker_id INTEGER NOT NULL REFERENCES workers,
            epoch INTEGER NOT NULL CHECK (epoch > 0), -- increases from lease to lease of a task
            leased_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            ended_at REAL,
            outcome TEXT CHECK (outcome IN ('done', 'superseded', 'failed', 'expired', 'lost', 'returned')),
            UNIQUE (task_id, epoch),
            CHECK ((ended_at IS NULL) = (outcome IS NULL))
        ) STRICT;
        CREATE INDEX leases_worker ON leases (worker_id);
        CREATE INDEX leases_open ON leases (expires_at) WHERE ended_at IS NULL;

        """

    private static let measurementTables = """
        CREATE TABLE image_scores (
            candidate_id INTEGER NOT NULL REFERENCES candidates ON DELETE CASCADE,
            prompt_id INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE,
            seed INTEGER NOT NULL,
            scorer TEXT NOT NULL,
            value REAL NOT NULL CHECK (abs(value) < 1e300), -- higher is better
            PRIMARY KEY (candidate_id, prompt_id, seed, scorer)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX image_scores_prompt ON image_scores (prompt_id);

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
        CREATE INDEX image_timings_prompt ON image_timings (prompt_id);
        CREATE INDEX image_timings_task ON image_timings (task_id);
        CREATE INDEX image_timings_worker ON image_timings (worker_id);

        CREATE TABLE thumbnails (
            id INTEGER PRIMARY KEY,
            candidate_id INTEGER REFERENCES candidates ON DELETE CASCADE, -- NULL for the uncached reference
            prompt_id INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE,
            seed INTEGER NOT NULL,
            png BLOB NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX thumbnails_image ON thumbnails (prompt_id, seed, ifnull(candidate_id, 0));
        CREATE INDEX thumbnails_candidate ON thumbnails (candidate_id);

        """

    // MARK: - Version 2

    /// Cost tables, and the key that tells which runs can reuse each other's evaluations.
    ///
    /// Version 1 called the measured latency `latency`; since version 2 that is the modelled one.
    static let costTables = """
        ALTER TABLE runs ADD COLUMN evaluation_key TEXT; -- equal for runs in which equal images get equal scores
        CREATE INDEX runs_evaluation_key ON runs (evaluation_key);

        UPDATE runs SET cost_objective = 'measured',
            configuration = replace(configuration, 'cost = "latency"', 'cost = "measured"')
        WHERE cost_objective = 'latency';

        CREATE TABLE cost_tables (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            worker_id INTEGER REFERENCES workers, -- NULL if named by the configuration
            worker_class TEXT NOT NULL, -- processor, BLAS, threads, engine
            costs TEXT NOT NULL CHECK (json_valid(costs)), -- seconds by phase and component for a batch, JSON
            uncached_seconds REAL CHECK (uncached_seconds > 0), -- of the uncached reference for a batch
            fit_error REAL CHECK (fit_error >= 0), -- median relative error of the fit
            is_objective INTEGER NOT NULL CHECK (is_objective IN (0, 1)), -- 1 for the table that modelled costs use
            measured_at REAL NOT NULL
        ) STRICT;
        CREATE INDEX cost_tables_run ON cost_tables (run_id);
        CREATE INDEX cost_tables_worker ON cost_tables (worker_id);
        CREATE UNIQUE INDEX cost_tables_objective ON cost_tables (run_id) WHERE is_objective = 1;

        """

    // MARK: - Version 3

    /// Refusals, canaries, rechecks and quarantine.
    static let trustTables = """
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
            worker_id INTEGER NOT NULL REFERENCES workers, -- computed the task again
            checked_worker_id INTEGER NOT NULL REFERENCES workers, -- worker of the stored result
            agrees INTEGER NOT NULL CHECK (agrees IN (0, 1)),
            largest_difference REAL NOT NULL, -- of the scores
            at REAL NOT NULL,
            PRIMARY KEY (task_id, worker_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX rechecks_worker ON rechecks (worker_id);
        CREATE INDEX rechecks_checked_worker ON rechecks (checked_worker_id);

        ALTER TABLE runs ADD COLUMN canary BLOB; -- 32-bit floats, little-endian
        ALTER TABLE workers ADD COLUMN quarantined_at REAL; -- Unix seconds
        ALTER TABLE workers ADD COLUMN quarantine_reason TEXT;

        """

    // MARK: - Version 4

    /// The gate step of benchmarked TGATE schedules, which is not part of the genome.
    static let gateSteps = """
        ALTER TABLE candidates ADD COLUMN gate_step INTEGER CHECK (gate_step > 0); -- first step without guidance

        """

    // MARK: - Version 5

    /// Statistics of the scores, so that `candidate_scores` need not sort millions of them.
    static let scoreStatistics = """
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
        CREATE INDEX score_statistics_prompt ON score_statistics (worst_prompt_id);
        INSERT INTO score_statistics \(Schema.scoreStatistics());

        """

    // MARK: - Version 6

    /// What measurements are computed with: per evaluation set, and per worker.
    static let engines = """
        CREATE TABLE evaluation_sets (
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            name TEXT NOT NULL, -- 'calibration', or of a benchmark
            engine TEXT NOT NULL CHECK (engine IN ('native', 'torch')), -- computed all images of the set
            precision TEXT NOT NULL,
            PRIMARY KEY (run_id, name)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO evaluation_sets (run_id, name, engine, precision) \(nativeEvaluationSets);

        ALTER TABLE workers ADD COLUMN engine TEXT NOT NULL DEFAULT 'native' CHECK (engine IN ('native', 'torch'));
        ALTER TABLE workers ADD COLUMN device_class TEXT NOT NULL DEFAULT ''; -- equal where equal work takes equal time
        UPDATE workers SET device_class = \(nativeDeviceClass);

        """

    /// The evaluation sets of a version before engines: all images are the native engine's.
    static let nativeEvaluationSets = """
        SELECT DISTINCT p.run_id, p.evaluation_set AS name, 'native' AS engine,
            CASE WHEN instr(r.configuration, char(10) || 'precision = "bfloat16"') > 0 THEN 'bfloat16' ELSE 'float32' END
                AS precision
        FROM prompts p JOIN runs r ON r.id = p.run_id
        """

    /// The device class of a native worker.
    static let nativeDeviceClass = "cpu || ', ' || blas || ', ' || threads || iif(threads = 1, ' thread', ' threads')"

    // MARK: - Version 7

    /// What reuse changes, measured by workers before the search.
    static let reuseErrors = """
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

        """

    /// The reuse errors of a version before them.
    static let noReuseErrors = """
        SELECT NULL AS run_id, NULL AS prompt_id, NULL AS seed, NULL AS errors, NULL AS worker_id, NULL AS seconds,
            NULL AS image_equivalents, NULL AS measured_at WHERE 0
        """

    // MARK: - Version 9

    /// What the error model of a search predicted of a candidate when it was proposed.
    static let predictions = """
        ALTER TABLE candidates ADD COLUMN predicted_log_error REAL CHECK (abs(predicted_log_error) < 1e300);
        ALTER TABLE candidates ADD COLUMN predicted_quality REAL CHECK (abs(predicted_quality) < 1e300);
        ALTER TABLE candidates ADD COLUMN predicted_deviation REAL CHECK (predicted_deviation >= 0);

        """

    /// The columns that a candidate of a version before predictions lacks.
    static let noPredictions =
        "NULL AS predicted_log_error, NULL AS predicted_quality, NULL AS predicted_deviation"
}
