"""`scripts/presets.sh`: searches of the preset `default` against another one by the images that they need, over several seeds."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

from .measures import interval
from .programs import GUIDANCE, MODELS, PROMPTS, PaperError, write_text

IMAGES = 8
"""Calibration prompts, and as many unseen ones."""
POPULATION = 24
"""Candidates per generation."""
BUDGET = 480
"""Everything is counted in units of a schedule's images; the other preset is measured after so many."""
MILESTONES = (24, 144, BUDGET)
"""What was spent where the table has the hypervolume of the preset `default`."""
CHECKPOINTS = [*range(6, 21, 2), 24, 28, 32, 40, 48, 56, 60, 64, 72, 80, 96, 144, 192, 240, 360, BUDGET]
VIEWS = [
    ("calibration", "whole", "all costs, calibration prompts"),
    ("calibration", "cached", "cost <= 0.95, calibration prompts"),
    ("unseen", "whole", "all costs, unseen prompts"),
    ("unseen", "cached", "cost <= 0.95, unseen prompts"),
]


@dataclasses.dataclass(frozen=True)
class Case:
    """What is searched."""

    model: str
    prompts: str
    """Prefix of the bundled prompt files."""
    steps: int = 20
    guidance: float = GUIDANCE
    population: int = POPULATION
    """Of the preset `default`; the other presets have the usual one."""
    options: tuple[str, ...] = ()


_REWARD = ("--quality", "image-reward-clipped", "--scorer", str(MODELS / "shapes-image-reward"))
CASES = {
    "alpha": Case("shapes-pixart-alpha", "shapes"),
    "sigma": Case("shapes-pixart-sigma", "shapes"),
    "flux": Case("shapes-flux", "shapes-flux", guidance=1),
    # A reward is no function of the error, so the error model has more to learn and learns after fewer schedules.
    "reward": Case("shapes-pixart-alpha", "shapes", population=12, options=_REWARD),
    "alpha10": Case("shapes-pixart-alpha", "shapes", steps=10),
    "alpha40": Case("shapes-pixart-alpha", "shapes", steps=40),
}


@dataclasses.dataclass(frozen=True)
class Search:
    case: str
    preset: str
    seed: int

    def path(self, work: pathlib.Path) -> pathlib.Path:
        return work / f"{self.case}-{self.preset}-{self.seed}.jsonl"

    def perform(self, work: pathlib.Path, bin: pathlib.Path, prompts: pathlib.Path) -> None:
        """Searches, and leaves the file of fronts; one that is interrupted leaves none."""
        case, path = CASES[self.case], self.path(work)
        unfinished = path.with_suffix(".part")
        population = case.population if self.preset == "default" else POPULATION
        command = [
            bin / "ecad", "bench", "presets", "--model", MODELS / case.model, "--prompts", prompts, "--guidance-scale",
            case.guidance, "--steps", case.steps, "--images", IMAGES, "--unseen", IMAGES, "--preset", self.preset, "--seed", self.seed,
            "--population", population, "--budget", BUDGET, "--checkpoints", ",".join(map(str, CHECKPOINTS)), *case.options, "-o", unfinished,
        ]  # fmt: skip
        result = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            raise PaperError(f"{path.name}: {result.stderr.strip() or result.returncode}")
        os.replace(unfinished, path)


def prompt_file(work: pathlib.Path, name: str) -> pathlib.Path:
    """The calibration prompts and as many of the benchmark's, which `ecad bench presets` takes as unseen ones."""
    seen = (PROMPTS / f"{name}-calibration.txt").read_text().splitlines()[:IMAGES]
    unseen = (PROMPTS / f"{name}-benchmark.txt").read_text().splitlines()[:IMAGES]
    path = work / f"{name}.txt"
    write_text(path, "\n".join(seen + unseen) + "\n")
    return path


Fronts = list[dict]
"""A search's hypervolumes in the order of what was spent."""


def needed(ours: Fronts, target: float, prompts: str, part: str) -> float:
    """What was spent when a hypervolume was reached, in schedules; infinite if it was not."""
    return next((front["schedules"] for front in ours if front[prompts][part] >= target), math.inf)


def volume(fronts: Fronts, spent: int, prompts: str, part: str) -> float:
    """The hypervolume that was reached with so many schedules, at most."""
    return max((front[prompts][part] for front in fronts if front["schedules"] <= spent), default=0)


def row(case: str, other: str, pairs: list[tuple[Fronts, Fronts]], prompts: str, part: str, text: str) -> str:
    """One line of the table, from the fronts of both presets by seed."""
    ends = [(ours[-1][prompts][part], theirs[-1][prompts][part]) for ours, theirs in pairs]
    spent = [needed(ours, theirs, prompts, part) for (ours, _), (_, theirs) in zip(pairs, ends)]
    found = interval([ours - theirs for ours, theirs in ends])
    bounds = "" if found.lower is None else f" ({found.lower:.2f} to {found.upper:.2f})"
    median = statistics.median(spent)
    share = f"1/{BUDGET / median:.0f}" if math.isfinite(median) else "-"
    reached = [statistics.fmean(volume(ours, spent, prompts, part) for ours, _ in pairs) for spent in MILESTONES]
    cells = [
        case, other, text, f"{median:.1f} ({min(spent):.1f} to {max(spent):.1f})", share, f"{statistics.fmean(theirs for _, theirs in ends):.2f}",
        *[f"{value:.2f}" for value in reached], f"{found.mean:+.2f}{bounds}".replace("-", "−"), str(len(pairs)),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def report(work: pathlib.Path) -> str:
    """The table of all searches that have a partner with the same seed."""
    lines = [
        f"| case | against | hypervolume | schedules until what it has after {BUDGET} | share | its after {BUDGET} | "
        + " | ".join(f"after {spent}" for spent in MILESTONES)
        + f" | difference after {BUDGET} (95 %) | seeds |",
        "|" + "---|" * (8 + len(MILESTONES)),
    ]
    for case in CASES:
        for other in ("ecad-paper", "nsga2"):
            pairs = []
            for seed in range(1, 1000):
                paths = [Search(case, preset, seed).path(work) for preset in ("default", other)]
                if all(path.exists() for path in paths):
                    pairs.append(tuple([json.loads(line) for line in path.read_text().splitlines()] for path in paths))
            if pairs:
                lines += [row(case, other, pairs, *view) for view in VIEWS]
    return "\n".join(lines) + "\n"


def seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    found = list(range(int(first), int(last or first) + 1))
    if not found or found[0] < 1 or found[-1] > 999:
        raise ValueError(text)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="presets.sh", description="Compare the search presets by the images that they need.")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("runs/presets"), help="work directory; what it holds is not measured again")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["alpha"], help="what is searched (default: alpha)")
    parser.add_argument("--against", nargs="+", choices=["ecad-paper", "nsga2"], default=["ecad-paper"], help="presets to compare with (default: ecad-paper)")
    parser.add_argument("--seeds", type=seeds, default=seeds("2-6"), help="seeds of the searches, such as 2-11 (default: 2-6; 1 was used for tuning)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="searches at a time (default: the number of processors)")
    parser.add_argument("--report-only", action="store_true", help="write the table of what is measured, and measure nothing")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> None:
    planned = [
        Search(case, preset, seed) for case in options.cases for seed in options.seeds for preset in ("default", *options.against)
    ]  # fmt: skip
    todo = [search for search in planned if not search.path(options.work).exists()]
    print(f"{len(planned)} searches, {len(planned) - len(todo)} of them measured before", flush=True)
    # Written before searches run beside each other, which have prompts in common.
    prompts = {case: prompt_file(options.work, CASES[case].prompts) for case in options.cases}
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        running = {pool.submit(search.perform, options.work, options.bin, prompts[search.case]): search for search in todo}
        try:
            for number, done in enumerate(concurrent.futures.as_completed(running), 1):
                done.result()
                print(f"[{number}/{len(todo)}] {running[done].path(options.work).name}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main() -> int:
    options = arguments()
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        if not options.report_only:
            measure(options)
        text = report(options.work)
        write_text(options.work / "report.md", text)
    except PaperError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; repeat the command to continue", file=sys.stderr)
        return 130
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
