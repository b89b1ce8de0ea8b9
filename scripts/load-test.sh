#!/bin/bash
# Runs a coordinator with N connected workers at full speed: results are synthetic, sockets, keys and encryption are real.
# Prints durable results per second, the coordinator's processor time and memory, and the size of the write-ahead log. With
# READER=yes a program that reads the history keeps a transaction open meanwhile. Usage: scripts/load-test.sh [N]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/small-run.sh
workers=${1:-1000} folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
write_run "$folder" 1
"$bin/ecad-coordinator" keys new load --count "$workers" --run-dir "$folder/run" --output "$folder/keys" > /dev/null
# A task is one schedule on one image, for the highest rate of results.
"$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$folder/run" --bind tcp://127.0.0.1:5999 \
    --set "search.population=${POPULATION:-10000}" --set tasks.images=1 --set tasks.schedules=1 --set tasks.recheck_share=0 \
    > /dev/null 2> "$folder/coordinator.log" & coordinator=$!
until grep -q listening "$folder/coordinator.log" 2>/dev/null; do
    kill -0 "$coordinator" 2> /dev/null || { cat "$folder/coordinator.log" >&2; exit 1; }
    sleep 0.2
done
"$bin/ecad-testing" load --coordinator tcp://127.0.0.1:5999 --keys "$folder/keys" --models "$model" --count "$workers" \
    --seconds "${TASK_SECONDS:-0.5}" & load=$!
ticks=$(getconf CLK_TCK)
cpu() { awk '{print $14 + $15}' "/proc/$coordinator/stat"; }
count() { ask "$folder/run" "select count(*) from tasks where state = 'done'"; }
log_bytes() { stat -c %s "$folder/run/history.sqlite-wal"; }
until [ "$(count)" -gt "${WARM:-2000}" ]; do sleep 0.5; done
if [ "${READER:-no}" = yes ]; then
    mkfifo "$folder/statements"
    sqlite3 -readonly "$folder/run/history.sqlite" < "$folder/statements" > /dev/null & reader=$!
    exec 4> "$folder/statements"
    echo 'BEGIN; SELECT count(*) FROM tasks;' >&4
fi
before=$(count) cpu0=$(cpu) log0=$(log_bytes) t0=$(date +%s.%N)
if [ -n "${RESULTS:-}" ]; then
    until [ "$(count)" -ge $((before + RESULTS)) ]; do sleep 0.2; done
else
    sleep "${SECONDS_MEASURED:-15}"
fi
after=$(count) cpu1=$(cpu) log1=$(log_bytes) t1=$(date +%s.%N)
awk -v n="$((after - before))" -v c="$((cpu1 - cpu0))" -v k="$ticks" -v t0="$t0" -v t1="$t1" -v w="$workers" -v a="$log0" -v b="$log1" \
    -v m="$(awk '/VmHWM/ {print $2}' "/proc/$coordinator/status")" 'BEGIN {
    s = t1 - t0
    printf "workers                    %d\nresults                    %d\ndurable results per second %.0f\n", w, n, n / s
    printf "coordinator processors     %.2f\ncoordinator memory         %.0f MB\n", c / k / s, m / 1024
    printf "write-ahead log            %.1f MB, grown by %.1f kB for each result\n", b / 1e6, (b - a) / 1e3 / n }'
if [ "${READER:-no}" = yes ]; then
    exec 4>&-
    wait "$reader"
    left=$(count)
    until [ "$(count)" -gt $((left + 100)) ]; do sleep 0.2; done
    echo "without the reader         $(log_bytes | awk '{ printf "%.1f MB", $1 / 1e6 }')"
fi
kill "$load" "$coordinator"; wait 2>/dev/null || true
