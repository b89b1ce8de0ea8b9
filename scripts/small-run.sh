# Shared by the tests of whole clusters (chaos.sh, faults-test.sh, netns-test.sh, slurm-test.sh, hostile-peers.sh,
# load-test.sh); source it from the repository root. Provides a run of a random model with tasks of a few milliseconds, and
# a comparison of two such runs.

bin=${ECAD_BIN:-$(swift build -c release --show-bin-path)}
for program in ecad-coordinator ecad-worker ecad-testing; do
    [ -x "$bin/$program" ] || { echo "error: $bin/$program not found; run swift build -c release, or set ECAD_BIN" >&2; exit 1; }
done
model=$PWD/Tests/Fixtures/alpha-micro/model
export OPENBLAS_NUM_THREADS=1

# write_run DIR GENERATIONS: writes a configuration with 8 candidates per generation and 3 images. The cost is
# multiply-adds, so that equal runs have bit-identical histories.
write_run() {
    mkdir -p "$1"
    printf 'a red cube\nA green ball on a table\nsome words\n' > "$1/prompts.txt"
    cat > "$1/run.toml" <<TOML
[model]
path = "$model"
steps = 5
height = 16
width = 16
[prompts]
calibration = "prompts.txt"
[objectives]
cost = "macs"
[search]
population = 8
generations = $2
seed = 7
preset = "nsga2"
seeding = ["fora", "random"]
[tasks]
images = 2
schedules = 2
TOML
}

# ask RUN_DIR [SQL]: runs a read-only query; without SQL, reads it from standard input.
ask() { sqlite3 -readonly -cmd '.timeout 10000' "$1/history.sqlite" "${@:2}"; }

# run_without_faults DIR: runs the configuration of write_run with one local worker, in DIR/baseline.
run_without_faults() {
    "$bin/ecad-coordinator" run --config "$1/run.toml" --run-dir "$1/baseline" --bind tcp://127.0.0.1:0 --workers 1 --worker-threads 1 \
        > /dev/null 2> "$1/baseline.log" || { tail -n 3 "$1/baseline.log" >&2; return 1; }
}

# Every decision of the search and every score it received.
decisions="
    select c.id, c.generation, hex(c.genome), c.origin, c.operator, c.parent_a, c.parent_b, e.cost, e.quality, e.images
        from candidates c left join evaluations e on e.candidate_id = c.id order by c.id;
    select candidate_id, prompt_id, seed, scorer, value from image_scores order by 1, 2, 3, 4;
    select number, hex(search_state), hypervolume from generations order by number"

# count_differences RUN_DIR RUN_DIR: number of rows that only one of the two has, or "unreadable".
count_differences() {
    local a b
    a=$(ask "$1" "$decisions") && b=$(ask "$2" "$decisions") && [ -n "$a" ] || { echo unreadable; return; }
    diff <(echo "$a") <(echo "$b") | grep -c '^[<>]' || true
}

# stop PID...: kills processes and waits for them.
stop() {
    local process
    for process in "$@"; do kill -9 "$process" 2> /dev/null || true; done
    for process in "$@"; do wait "$process" 2> /dev/null || true; done
}
