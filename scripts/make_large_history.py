#!/usr/bin/env python3
"""Makes a history of any size with the schema of an existing one, to time queries and the dashboard.

    scripts/make_large_history.py RUN_DIR NEW_RUN_DIR [--evaluations 40000] [--steps 20] [--blocks 28] [--images 8]

The schema, the run's row and its configuration are copied from RUN_DIR; candidates, scores, times, tasks and leases are
drawn at random, with a front that improves from generation to generation.
"""
import argparse
import hashlib
import os
import pathlib
import random
import sqlite3

COMPONENTS = ["attn1", "attn2", "ff"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--evaluations", type=int, default=40_000)
    parser.add_argument("--population", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=28)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--workers", type=int, default=16)
    return parser.parse_args()


def copy_schema(source, target):
    """Creates the tables, indexes and views of `source`, its migrations and its first run."""
    rows = source.execute("SELECT type, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'").fetchall()
    for kind in ("table", "index", "view"):
        for _, sql in (row for row in rows if row[0] == kind):
            target.execute(sql)
    for pragma in ("application_id", "user_version"):
        target.execute(f"PRAGMA {pragma} = {source.execute(f'PRAGMA {pragma}').fetchone()[0]}")
    for table in ("schema_migrations", "runs"):
        for row in source.execute(f"SELECT * FROM {table} LIMIT {1 if table == 'runs' else 100}").fetchall():
            target.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)


def main():
    options = arguments()
    folder = pathlib.Path(options.target)
    folder.mkdir(parents=True)
    source = sqlite3.connect(f"file:{options.source}/history.sqlite?mode=ro", uri=True)
    target = sqlite3.connect(folder / "history.sqlite", isolation_level=None)
    target.execute("PRAGMA journal_mode = WAL")
    target.execute("PRAGMA synchronous = OFF")
    target.execute("BEGIN")
    copy_schema(source, target)
    fill(target, options)
    target.execute("COMMIT")
    target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    target.close()
    print(f"{folder}/history.sqlite: {os.path.getsize(folder / 'history.sqlite') >> 20} MiB")


def fill(db, options):
    rng = random.Random(1)
    run, start = db.execute("SELECT id, created_at FROM runs").fetchone()
    gene_count = options.steps * options.blocks * len(COMPONENTS)
    blocks = ",".join(['"pixart"'] * options.blocks)
    db.execute("UPDATE runs SET gene_count = ?, name = 'large'", [gene_count])
    genes = [(run, g, g // (options.blocks * 3), g // 3 % options.blocks, COMPONENTS[g % 3]) for g in range(gene_count)]
    db.executemany("INSERT INTO genes VALUES (?, ?, ?, ?, ?)", genes)
    db.executemany("INSERT INTO prompts VALUES (?, ?, 'calibration', ?, ?)",
                   [(p + 1, run, p, f"prompt number {p} with a few more words") for p in range(options.images)])
    db.executemany("INSERT INTO workers (id, name, host, cpu, blas, threads, engine_version, first_seen, last_seen,"
                   " connected_seconds, busy_seconds, failures) VALUES (?, ?, ?, 'CPU', 'OpenBLAS', 8, '0', ?, ?, 1e5, ?, ?)",
                   [(w + 1, f"node-{w}", f"node-{w}", start, start + 1e5, 7e4 + 1e3 * w, w % 3) for w in range(options.workers)])
    generations = (options.evaluations + options.population - 1) // options.population
    candidate = task = 0
    hypervolume = 0.2
    for generation in range(generations):
        count = min(options.population, options.evaluations - candidate)
        hypervolume += (0.9 - hypervolume) * 0.01
        at = start + generation * 60.0
        db.execute("INSERT INTO generations VALUES (?, ?, x'00', ?, ?, ?, ?, 60)",
                   [run, generation, at, at + 60, hypervolume, count])
        for member in range(count):
            candidate += 1
            genome = rng.randbytes((gene_count + 7) // 8)
            digest = hashlib.sha256(genome).hexdigest()
            cost = rng.uniform(0.15, 1.0)
            quality = 12 + 25 * cost ** 0.5 * (0.6 + 0.4 * generation / generations) + rng.gauss(0, 1.5)
            parents = [None, None] if generation == 0 else [rng.randint(1, candidate - member - 1) for _ in range(2)]
            origin = "offspring" if generation else ("fora-3" if member < 6 else "random")
            db.execute("INSERT INTO candidates (id, run_id, generation, genome, genome_sha256, canonical_hash, parent_a, parent_b, operator, origin,"
                       " macs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       [candidate, run, generation, genome, digest, digest, *parents,
                        "crossover" if generation else None, origin, int(1e12 * cost)])
            ratio = cost * rng.gauss(1, 0.02)
            db.execute("INSERT INTO evaluations VALUES (?, ?, 'calibration', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       [candidate, candidate, cost, quality, ratio, cost, int(1e12 * cost), options.images, 8 * ratio, 8, at])
            task += 1
            worker = rng.randint(1, options.workers)
            db.execute("INSERT INTO tasks VALUES (?, ?, ?, 'calibration', 'evaluate', 'done', '[[0,0]]', ?, NULL, 1, 0, NULL,"
                       " ?, 10, ?, ?)", [task, run, generation, options.images, worker, at, at + 10 + 40 * member / count])
            db.execute("INSERT INTO task_candidates VALUES (?, ?)", [task, candidate])
            db.execute("INSERT INTO leases VALUES (?, ?, ?, 1, ?, ?, ?, 'done')",
                       [task, task, worker, at + 40 * member / count, at + 300, at + 10 + 40 * member / count])
            db.executemany("INSERT INTO image_scores VALUES (?, ?, 0, ?, ?)",
                           [(candidate, p + 1, scorer, quality * scale + rng.gauss(0, 1))
                            for p in range(options.images) for scorer, scale in (("latent-error", -0.01), ("psnr", 1), ("ssim", 0.02))])
            db.executemany("INSERT INTO image_timings VALUES (?, ?, 0, ?, ?, ?, 1, 0.1)",
                           [(candidate, p + 1, task, worker, ratio) for p in range(options.images)])


if __name__ == "__main__":
    main()
