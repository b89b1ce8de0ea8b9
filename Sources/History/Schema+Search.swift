extension Schema {
    /// Cost tables, and what makes the evaluations of two runs the same.
    ///
    /// The cost that was called latency before there were tables is the measured one.
    static let searchTables = """
        ALTER TABLE runs ADD COLUMN evaluation_key TEXT; -- equal for runs in which equal images get equal scores
        CREATE INDEX runs_evaluation_key ON runs (evaluation_key);

        UPDATE runs SET cost_objective = 'measured',
            configuration = replace(configuration, 'cost = "latency"', 'cost = "measured"')
        WHERE cost_objective = 'latency';

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
        CREATE INDEX cost_tables_run ON cost_tables (run_id);
        CREATE INDEX cost_tables_worker ON cost_tables (worker_id);
        CREATE UNIQUE INDEX cost_tables_objective ON cost_tables (run_id) WHERE is_objective = 1;

        """

    /// What benchmarks need beyond the search: TGATE schedules, which no genome says all of.
    static let benchmarkTables = """
        ALTER TABLE candidates ADD COLUMN gate_step INTEGER CHECK (gate_step > 0); -- first step without guidance

        """
}
