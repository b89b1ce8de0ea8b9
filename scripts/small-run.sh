# What the tests of whole clusters share; sourced by chaos.sh, netns-test.sh, slurm-test.sh, hostile-peers.sh and
# load-test.sh, from the repository's folder. A run of a random model that takes milliseconds a task, and the comparison
# of two such runs.

bin=${ECAD_BIN:-$(swift build -c release --show-bin-path)}
for program in ecad-coordinator ecad-worker ecad-testing; do
    [ -x "$bin/$program" ] || { echo "error: no $bin/$program: run swift build -c release, or set ECAD_BIN" >&2; exit 1; }
done
model=$PWD/Tests/Fixtures/alpha-micro/model
export OPENBLAS_NUM_THREADS=1

# write_run FOLDER GENERATIONS: a run of 8 schedules a generation on 3 images, with multiply-adds as cost, so that equal
# histories are the same to the last bit.
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
seeding = ["fora", "random"]
[tasks]
images = 2
schedules = 2
TOML
}

# ask RUN-FOLDER [SQL]: without SQL, what standard input says.
ask() { sqlite3 -readonly -cmd '.timeout 10000' "$1/history.sqlite" "${@:2}"; }

# run_undisturbed FOLDER: the run of write_run on this machine alone, in FOLDER/calm.
run_undisturbed() {
    "$bin/ecad-coordinator" run --config "$1/run.toml" --run-dir "$1/calm" --bind tcp://127.0.0.1:0 --workers 1 --worker-threads 1 \
        > /dev/null 2> "$1/calm.log" || { tail -n 3 "$1/calm.log" >&2; return 1; }
}

# Everything that the search decided, and every score that it was told.
decisions="
    select c.id, c.generation, hex(c.genome), c.origin, c.operator, c.parent_a, c.parent_b, e.cost, e.quality, e.images
        from candidates c left join evaluations e on e.candidate_id = c.id order by c.id;
    select candidate_id, prompt_id, seed, scorer, value from image_scores order by 1, 2, 3, 4;
    select number, hex(search_state), hypervolume from generations order by number"

# count_differences RUN-FOLDER RUN-FOLDER: lines that only one of the two has; all of them if a history cannot be read.
count_differences() {
    local a b
    a=$(ask "$1" "$decisions") && b=$(ask "$2" "$decisions") && [ -n "$a" ] || { echo unreadable; return; }
    diff <(echo "$a") <(echo "$b") | grep -c '^[<>]' || true
}

# stop PROCESS...: kills processes and reaps them.
stop() {
    local process
    for process in "$@"; do kill -9 "$process" 2> /dev/null || true; done
    for process in "$@"; do wait "$process" 2> /dev/null || true; done
}
