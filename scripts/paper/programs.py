"""The programs of the project as functions: searches, benchmarks on unseen prompts, schedule files, images and their scores."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "cluster" / "models"
PROMPTS = ROOT / "cluster" / "prompts"
GUIDANCE = 2.5
"""Best for the bundled PixArt models, see their cards."""
UNCACHED = "uncached"
"""The name that a benchmark gives the schedule without reuse."""

LOCK_SECONDS = 120
"""A worker ends once its task is done."""
_prctl = ctypes.CDLL(None).prctl

CONFIGURATION = """\
[model]
path = "{model}"
steps = {steps}
guidance_scale = {guidance}
{size}
[prompts]
calibration = "{prompts}"
seeds_per_prompt = {seeds_per_prompt}

[objectives]
cost = "{cost}"
quality = "{quality}"
{table}
[scorers]
image-reward = "{models}/shapes-image-reward"
clip = "{models}/shapes-clip"

[search]
preset = "{preset}"
population = {population}
generations = {generations}
seed = {seed}
{warm_start}
[tasks]
images = 4

[thumbnails]
prompts = 0
"""


class PaperError(Exception):
    """One line: what failed, and what would be right."""


class Work:
    """The work directory: settings, results of finished steps, and all files of the programs. One process at a time uses it, until its context ends."""

    def __init__(self, folder: pathlib.Path, bin: pathlib.Path, settings: dict[str, Any]):
        """Creates the directory, or checks that it was made with the same settings.

        Raises:
            PaperError: for other settings, a program that is missing, and a directory that another process uses.
        """
        self.folder, self.bin, self.settings = folder.resolve(), bin.resolve(), settings
        for program in ("ecad", "ecad-coordinator", "ecad-worker"):
            if not os.access(self.bin / program, os.X_OK):
                raise PaperError(f"{self.bin / program}: not found; run swift build -c release or set ECAD_BIN")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT)
        try:
            self._acquire_lock()
            self._check_settings()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Work:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._lock)

    def _acquire_lock(self) -> None:
        """The programs inherit the lock, so those that a killed process has left behind are waited for."""
        for second in range(LOCK_SECONDS):
            try:
                return fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if second == 2:
                    print(f"waiting for programs that still use {self.folder}", file=sys.stderr)
                time.sleep(1)
        raise PaperError(f"{self.folder}: another process uses this directory; wait for it or choose another --work")

    def _check_settings(self) -> None:
        file = self.folder / "settings.json"
        if file.exists():
            stored = read_json(file)
            for key in sorted(stored.keys() | self.settings.keys()):
                if stored.get(key) != self.settings.get(key):
                    raise PaperError(
                        f"{file}: {key} is {stored.get(key)}, now {self.settings.get(key)}; expected the same settings or another --work"
                    )
        else:
            write_json(file, self.settings)

    def path(self, kind: str, name: str) -> pathlib.Path:
        """A path in the subdirectory of its kind, which is created."""
        (self.folder / kind).mkdir(exist_ok=True)
        return self.folder / kind / name

    def result(self, key: str) -> Any | None:
        """The result of a finished step; None if it has none yet."""
        file = self.path("results", f"{key}.json")
        return read_json(file) if file.exists() else None

    def run(self, key: str, program: str, *arguments: Any) -> str:
        """Runs a program to its end and returns its standard output; its log is appended to logs/KEY.log.

        If this process is interrupted or terminated, the program is terminated and waited for.

        Raises:
            PaperError: with the last line of the log, if the program fails.
        """
        command = [str(self.bin / program), *map(str, arguments)]
        log = self.path("logs", f"{key}.log")
        with open(log, "ab") as stream:
            stream.write(f"$ {' '.join(command)}\n".encode())
            stream.flush()
            environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stream, env=environment, pass_fds=[self._lock],
                preexec_fn=_end_with_parent,
            )
            try:
                output, _ = process.communicate()
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if process.returncode:
            last = log.read_text(errors="replace").rstrip().rpartition("\n")[2]
            raise PaperError(f"{program} {arguments[0]} ended with status {process.returncode}; {log}: {last}")
        return output.decode()

    def query(self, key: str, run: pathlib.Path, sql: str) -> list[dict[str, Any]]:
        """Rows of a run's history."""
        rows = json.loads(self.run(key, "ecad-coordinator", "query", "--run-dir", run, "--sql", sql, "--format", "json") or "[]")
        assert isinstance(rows, list)
        return rows

    # Files

    def prompts(self, file: str, count: int) -> pathlib.Path:
        """The first prompts of a bundled file, in a file of their own."""
        lines = (PROMPTS / file).read_text().splitlines()
        if len(lines) < count:
            raise PaperError(f"{PROMPTS / file}: has {len(lines)} prompts; expected at least {count}")
        path = self.path("prompts", f"{pathlib.Path(file).stem}-{count}.txt")
        write_text(path, "\n".join(lines[:count]) + "\n")
        return path

    def heuristic(self, name: str, model: str) -> pathlib.Path:
        """The schedule of FORA (`fora-3`) or of TGATE (`tgate-10-3`: gate step, interval) as a file of that name."""
        path = self.path(f"schedules-{model}", f"{name}.json")
        if not path.exists():
            kind, *values = name.split("-")
            parameters = [f"{key}={value}" for key, value in zip({"fora": ["n"], "tgate": ["m", "k"]}[kind], values, strict=True)]
            options = [option for parameter in parameters for option in ("--parameter", parameter)]
            scratch = path.with_suffix(".new.json")
            self.run(
                "schedules", "ecad", "schedule", "generate", kind, "--model", MODELS / model, "--steps", self.settings["steps"], *options, "-o", scratch
            )
            scratch.rename(path)
        return path

    def candidate(self, run: pathlib.Path, id: int) -> pathlib.Path:
        """The schedule of a run's candidate as a file named after both."""
        path = self.path("schedules", f"{run.name}-{id}.json")
        if not path.exists():
            scratch = path.with_suffix(".new.json")
            self.run("schedules", "ecad-coordinator", "export", "--run-dir", run, "--candidate", id, "--format", "ecad-json", "-o", scratch)
            scratch.rename(path)
        return path

    def cost_table(self, model: str) -> pathlib.Path:
        """The seconds of the model's components with one thread, measured once: all searches for latency use the same."""
        path = self.path("tables", f"{model}.json")
        if not path.exists():
            scratch = path.with_suffix(".new.json")
            self.run(
                f"table-{model}", "ecad", "bench", "model", "--model", MODELS / model, "--prompts", PROMPTS / "shapes-calibration.txt",
                "--guidance-scale", GUIDANCE, "--steps", self.settings["steps"], "--threads", 1, "--schedules", 10, "--seconds", 20, "-o", scratch,
            )
            scratch.rename(path)
        return path

    # Runs

    def search(self, key: str, seed: int, *, warm_start: pathlib.Path | None, **values: Any) -> pathlib.Path:
        """Starts a run, or resumes one that was interrupted; returns its directory once it has finished.

        A directory that holds no readable run yet is removed: its coordinator was killed before it had begun.
        """
        folder = self.path("runs", key)
        table = self.cost_table(values["model"]) if values["cost"] == "latency" else None
        size = values.pop("size")
        text = CONFIGURATION.format(
            **values | {"model": MODELS / values["model"]}, models=MODELS, steps=self.settings["steps"], guidance=GUIDANCE,
            population=self.settings["population"], seed=seed, size=f"height = {size}\nwidth = {size}\n" if size else "",
            table=f'cost_table = "{table}"\n' if table else "", warm_start=f'warm_start = "{warm_start}"\n' if warm_start else "",
        )
        configuration = self.path("configurations", f"{key}.toml")
        write_text(configuration, text)
        local = ["--workers", 2, "--worker-threads", 1, "--bind", "tcp://127.0.0.1:0"]
        status = self._status(key, folder)
        if status == "finished":
            return folder
        if status is None:
            shutil.rmtree(folder, ignore_errors=True)
            self.run(key, "ecad-coordinator", "run", "--config", configuration, "--run-dir", folder, *local)
        else:
            self.run(key, "ecad-coordinator", "resume", "--run-dir", folder, *local)
        return folder

    def _status(self, key: str, folder: pathlib.Path) -> str | None:
        if not (folder / "history.sqlite").exists():
            return None
        try:
            rows = self.query(key, folder, "SELECT status, (SELECT count(*) FROM candidates) AS candidates FROM runs")
        except PaperError:
            return None
        return str(rows[0]["status"]) if rows and rows[0]["candidates"] else None

    def benchmark(self, key: str, run: pathlib.Path, prompts: pathlib.Path, schedules: Sequence[pathlib.Path]) -> dict[str, dict[str, Any]]:
        """Measures schedules on a prompt set in a run's history; measurements that it holds are kept.

        Returns:
            By schedule (file name without extension, or `uncached`): cost, the run's cost objective; macs, relative to uncached; latency,
            measured; modelled, latency by the cost table or None; scores by scorer.
        """
        self.run(
            key, "ecad-coordinator", "benchmark", "--run-dir", run, "--prompts", prompts, "--schedule", *schedules,
            "--workers", 2, "--worker-threads", 1, "--bind", "tcp://127.0.0.1:0",
        )
        rows = self.query(
            key, run, "SELECT c.label, e.cost, e.macs, e.latency_ratio, e.modelled_ratio, s.scorer, s.mean, s.images FROM candidates c "
            "JOIN evaluations e ON e.candidate_id = c.id JOIN candidate_scores s ON s.candidate_id = c.id AND s.evaluation_set = e.evaluation_set "
            f"WHERE c.generation IS NULL AND e.evaluation_set = '{prompts.stem}' ORDER BY c.id, s.scorer",
        )
        uncached = next((row["macs"] for row in rows if row["label"] == UNCACHED), None)
        names = {file.name: file.stem for file in schedules} | {UNCACHED: UNCACHED}
        measured: dict[str, dict[str, Any]] = {}
        for row in rows:
            if row["label"] in names and uncached:
                entry = {"cost": row["cost"], "macs": row["macs"] / uncached, "latency": row["latency_ratio"], "modelled": row["modelled_ratio"]}
                measured.setdefault(names[row["label"]], entry | {"images": row["images"], "scores": {}})["scores"][row["scorer"]] = row["mean"]
        missing = sorted(set(names.values()) - measured.keys())
        if missing:
            raise PaperError(f"{run}: the benchmark {prompts.stem} has no result for {', '.join(missing)}; see {self.path('logs', key + '.log')}")
        return measured

    def frechet(self, key: str, model: str, prompts: pathlib.Path, schedule: pathlib.Path | None, references: Sequence[pathlib.Path]) -> list[float]:
        """Frechet distances, on features of the bundled CLIP, of a schedule's images (None: uncached) to those of directories."""
        images = self.path("images", schedule.stem if schedule else UNCACHED)
        done = images / "prompts.json"
        if not done.exists():
            shutil.rmtree(images, ignore_errors=True)
            options = ["--schedule", schedule] if schedule else []
            self.run(
                key, "ecad", "generate", "--model", MODELS / model, "--prompts", prompts, "--guidance-scale", GUIDANCE,
                "--steps", self.settings["steps"], "--threads", 2, *options, "-o", images,
            )
            write_json(done, prompts.read_text().splitlines())
        distances = []
        for reference in references:
            text = self.run(
                key, "ecad", "score", "--scorer", f"frechet:{MODELS / 'shapes-clip'}", "--images", images, "--reference", reference,
                "--threads", 2, "--json",
            )
            distances.append(float(json.loads(text)["distances"][0]["distance"]))
        return distances


def _end_with_parent() -> None:
    """Linux sends the calling process SIGTERM when its parent ends, however it ends (PR_SET_PDEATHSIG)."""
    _prctl(1, signal.SIGTERM)


def read_json(file: pathlib.Path) -> Any:
    """Raises PaperError for a file that is not JSON."""
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise PaperError(f"{file}: not valid JSON ({error}); remove it, and what it holds is measured again") from None


def write_json(file: pathlib.Path, value: Any) -> None:
    write_text(file, json.dumps(value, indent=1) + "\n")


def write_text(file: pathlib.Path, text: str) -> None:
    """Replaces the file at once, so that a killed process leaves the old one or the new one."""
    scratch = file.with_name(file.name + ".new")
    scratch.write_text(text)
    os.replace(scratch, file)
