"""The program `ecad-diffusers`, also `python -m ecad_diffusers`."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from . import __version__
from .files import load_entry, read_schedules, save_schedule
from .masks import EXPORTERS, export, step_mask
from .schedule import STEP_LIMIT, Schedule, ScheduleError


MODEL_HELP = "model directory in the diffusers layout, or a repository on the Hugging Face Hub"


def main(arguments: list[str] | None = None) -> None:
    parser = _parser()
    options = parser.parse_args(arguments)
    if getattr(options, "entry", None) is not None and options.schedule is None:
        parser.error("--entry is only allowed with --schedule")
    try:
        options.run(options)
    except (ScheduleError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ecad-diffusers", description="Apply ECAD caching schedules to diffusers pipelines.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="describe schedule files")
    info.add_argument("files", nargs="+", metavar="FILE", help="published JSON or compact schedule file")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=_info)

    fora = commands.add_parser("fora", help="write a schedule that recomputes everything at every N-th step, to begin with")
    fora.add_argument("--model", required=True, metavar="DIR", help=MODEL_HELP)
    fora.add_argument("--steps", type=_steps, default=20, metavar="N", help="denoising steps (default: 20)")
    fora.add_argument("--interval", type=_positive, default=3, metavar="N", help="steps from one recomputation to the next (default: 3)")
    fora.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="PATH", help="JSON file")
    fora.set_defaults(run=_fora)

    generate = commands.add_parser("generate", help="generate images, optionally with a schedule")
    _add_model(generate)
    generate.add_argument("--prompt", action="append", required=True, metavar="TEXT", help="prompt; repeat it for more images")
    generate.add_argument("--schedule", metavar="FILE", help="schedule file (default: uncached)")
    generate.add_argument("--entry", type=_entry, metavar="N", help="index of the schedule in a compact file, from 0")
    generate.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="PATH", help="PNG file for one prompt, otherwise a directory")
    generate.set_defaults(run=_generate)

    benchmark = commands.add_parser("benchmark", help="measure the wall time of schedules against the uncached model on this device")
    _add_model(benchmark)
    benchmark.add_argument("--prompt", default="a red fox in the snow", metavar="TEXT", help="prompt of all images")
    benchmark.add_argument("--schedule", action="append", default=[], required=True, metavar="FILE", help="schedule file; repeat it for more; all schedules of a compact file count")
    benchmark.add_argument("--batch", type=_positive, action="append", metavar="N", help="images per call; repeat it for a report of each (default: 1)")
    benchmark.add_argument("--repeats", type=_positive, default=5, metavar="N", help="rounds; each runs uncached and all schedules in turn (default: 5)")
    benchmark.add_argument("--json", action="store_true", help="print JSON, an array for several batch sizes")
    benchmark.set_defaults(run=_benchmark)

    mask = commands.add_parser("mask", help="export a schedule as a step mask for another tool")
    mask.add_argument("schedule", metavar="FILE", help="schedule file")
    mask.add_argument("--entry", type=_entry, metavar="N", help="index of the schedule in a compact file, from 0")
    mask.add_argument("--tool", required=True, choices=sorted(EXPORTERS), help="tool that reads the mask")
    mask.add_argument("--nearest", action="store_true", help="write the nearest step mask of a schedule that is none, and state the loss")
    mask.add_argument("-o", "--output", type=pathlib.Path, metavar="PATH", help="file (default: standard output)")
    mask.set_defaults(run=_mask)
    return parser


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, metavar="DIR", help=MODEL_HELP)
    command.add_argument("--steps", type=_positive, metavar="N", help="denoising steps (default: the schedule's, or 20)")
    command.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of the initial noise; counts up over the images of a call (default: 0)")
    command.add_argument("--guidance-scale", type=_scale, metavar="X", help="0 to 100 (default: the pipeline's)")
    command.add_argument("--height", type=_side, metavar="PIXELS", help="default: the model's native size")
    command.add_argument("--width", type=_side, metavar="PIXELS", help="default: the model's native size")
    command.add_argument("--device", default="auto", metavar="DEVICE", help="torch device such as cpu or cuda:1 (default: cuda if there is one)")
    command.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"], help="default: bfloat16 on CUDA, float32 elsewhere")


def _number(expected: str, convert: Callable[[str], float], valid: Callable[[float], bool]) -> Callable[[str], Any]:
    """The `type` of an option."""

    def parse(text: str) -> float:
        try:
            value = convert(text)
            if valid(value):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text or 'empty'}: expected {expected}")

    return parse


_positive = _number("an integer of at least 1", int, lambda value: value >= 1)
_steps = _number(f"an integer from 1 to {STEP_LIMIT}", int, lambda value: 1 <= value <= STEP_LIMIT)
_side = _number("an integer from 1 to 16384", int, lambda value: 1 <= value <= 16384)
_seed = _number("an integer from 0 to 2^64 - 1", int, lambda value: 0 <= value < 2**64)
_entry = _number("an integer of at least 0", int, lambda value: value >= 0)
_scale = _number("0 to 100", float, lambda value: 0 <= value <= 100)


def _info(options: argparse.Namespace) -> None:
    rows: list[dict[str, Any]] = []
    for file in options.files:
        for index, entry in enumerate(read_schedules(file)):
            schedule = entry.schedule
            mask = step_mask(schedule)
            rows.append({
                "file": file,
                "entry": index,
                "family": schedule.shape.family,
                "steps": schedule.steps,
                "genes": schedule.shape.genes,
                "recomputed": sum(schedule.bits),
                "computed": schedule.computed,
                "gate_step": schedule.gate_step,
                "step_mask": mask.exact,
                "cost": entry.cost,
                "quality": entry.quality,
                "genome_sha256": schedule.genome_sha256,
            })  # fmt: skip
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        notes = ["the same for all components of each step"] if row["step_mask"] else []
        notes += [f"TGATE at step {row['gate_step']}"] if row["gate_step"] else []
        print(f"{row['file']}[{row['entry']}]: {row['family']}, {row['steps']} steps, computes {row['computed']} of {row['genes']} component outputs" + "".join("; " + note for note in notes))


def _fora(options: argparse.Namespace) -> None:
    from .pipelines import model_shape

    schedule = Schedule.fora(model_shape(options.model, options.steps), options.interval)
    save_schedule(schedule, options.output)
    print(f"{options.output}: {schedule}")


def _generate(options: argparse.Namespace) -> None:
    from .generate import generate

    entry = load_entry(options.schedule, options.entry) if options.schedule is not None else None
    for file, seconds in generate(options, entry):
        print(f"{file}  {seconds:.3f} s")


def _benchmark(options: argparse.Namespace) -> None:
    from .benchmark import benchmark, table

    if not options.json:
        for report in benchmark(options):
            print(table(report), flush=True)
        return
    reports = list(benchmark(options))
    print(json.dumps(reports if len(reports) > 1 else reports[0], indent=2))


def _mask(options: argparse.Namespace) -> None:
    text, mask = export(load_entry(options.schedule, options.entry).schedule, options.tool, options.nearest)
    if options.output:
        options.output.write_text(text)
    else:
        print(text, end="")
    if not mask.exact:
        print(f"warning: {mask.loss}", file=sys.stderr)


if __name__ == "__main__":
    main()
