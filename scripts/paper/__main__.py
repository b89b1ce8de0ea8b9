"""`scripts/paper.sh`: performs the steps that are missing, and writes the report after each."""

from __future__ import annotations

import argparse
import pathlib
import platform
import signal
import sys
import time
from typing import Any

from .parts import CLAIMS, Results
from .programs import PaperError, Work, write_json, write_text
from .report import Part, document, markdown
from .steps import FULL, QUICK, Step, perform, steps


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="paper.sh", description="Test the claims of the ECAD paper on the bundled models.")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("runs/paper"), help="work directory; what it holds is not measured again")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the search, 1 to 100 (default: 5)")
    parser.add_argument("--parts", nargs="+", choices=list(CLAIMS), default=list(CLAIMS), help="parts of the report (default: all)")
    parser.add_argument("--quick", action="store_true", help="small searches with 10 steps, to try the command in minutes; its numbers mean nothing")
    parser.add_argument("--report-only", action="store_true", help="write the report of what is measured, and measure nothing")
    options = parser.parse_args()
    if not 1 <= options.seeds <= 100:
        parser.error(f"--seeds {options.seeds}: expected 1 to 100")
    options.parts = sorted(set(options.parts))
    return options


def missing(work: Work, planned: list[Step]) -> list[Step]:
    return [step for step in planned if work.result(step.key) is None]


def plan(options: argparse.Namespace, work: Work) -> dict[str, list[Step]]:
    """By part the steps of all seeds, seed by seed."""
    return {part: [step for seed in range(1, options.seeds + 1) for step in steps(part, seed, work.settings)] for part in options.parts}


def write_report(options: argparse.Namespace, work: Work) -> list[Part]:
    parts = []
    for part in options.parts:
        claim, rows = CLAIMS[part]
        done = [seed for seed in range(1, options.seeds + 1) if not missing(work, steps(part, seed, work.settings))]
        if done:
            parts.append(Part(part, claim, rows(Results(work, done)), len(done), len(done) == options.seeds))
    if not parts:
        return parts
    settings = work.settings
    schedules = settings["population"] * settings["generations"]
    introduction = (
        f"Searches of {settings['population']} x {settings['generations']} = {schedules} schedules with {settings['steps']} steps, unseen prompts: the "
        f"first {settings['unseen']} of `cluster/prompts/shapes-benchmark.txt`. Hypervolumes are of schedules with a cost of at most 0.95, with the "
        "reference point (0.95, 0 dB). Costs are relative to the uncached model. Student's t over the seeds of the search."
    )
    write_text(work.folder / "report.md", markdown(parts, introduction))
    write_json(work.folder / "report.json", document(parts, settings=settings, machine=platform.processor() or platform.machine()))
    return parts


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def measure(options: argparse.Namespace, work: Work) -> None:
    planned = {step.key: step for part in plan(options, work).values() for step in part}
    todo = missing(work, list(planned.values()))
    finished = [(step.weight, stored["seconds"]) for step in planned.values() if (stored := work.result(step.key)) is not None]
    print(f"{len(planned)} steps, {len(planned) - len(todo)} of them measured before", flush=True)
    for number, step in enumerate(todo, len(planned) - len(todo) + 1):
        seconds = perform(work, step)
        finished.append((step.weight, seconds))
        rate = sum(pair[1] for pair in finished) / sum(pair[0] for pair in finished)
        left = rate * sum(other.weight for other in todo[number - len(planned) + len(todo) :])
        print(f"[{number}/{len(planned)}] {step.key}: {clock(seconds)}; about {clock(left)} left", flush=True)
        write_report(options, work)


def run(options: argparse.Namespace) -> None:
    begin = time.monotonic()
    settings: dict[str, Any] = QUICK if options.quick else FULL
    with Work(options.work / "quick" if options.quick else options.work, options.bin, settings) as work:
        if not options.report_only:
            measure(options, work)
        parts = write_report(options, work)
    if not parts:
        raise PaperError(f"{work.folder}: nothing is completely measured for any seed; expected finished parts")
    print((work.folder / "report.md").read_text())
    print(f"{work.folder / 'report.md'} and report.json, after {clock(time.monotonic() - begin)}")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run(arguments())
    except PaperError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; repeat the command to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
