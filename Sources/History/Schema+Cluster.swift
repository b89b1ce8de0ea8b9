extension Schema {
    /// The tables of version 3: who was kept out, and whose results are trusted.
    static let clusterTables = """
        CREATE TABLE refusals (
            run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            reason TEXT NOT NULL, -- one of a few words, so that no stranger can fill the table
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
        CREATE INDEX rechecks_worker ON rechecks (worker_id);
        CREATE INDEX rechecks_checked_worker ON rechecks (checked_worker_id);

        ALTER TABLE runs ADD COLUMN canary BLOB; -- 32-bit floats, little-endian: the run's first accepted one
        ALTER TABLE workers ADD COLUMN quarantined_at REAL; -- its results are not taken any more
        ALTER TABLE workers ADD COLUMN quarantine_reason TEXT;

        """
}
