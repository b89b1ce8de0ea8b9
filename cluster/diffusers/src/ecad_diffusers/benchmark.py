"""`ecad-diffusers benchmark`: wall time of schedules against the uncached model, measured in turn."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .files import read_schedules
from .generate import call, open_pipeline
from .pipelines import synchronize
from .schedule import Schedule, ScheduleError


def benchmark(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measures denoising (text encoding included, decoding not), uncached and every schedule once per round, after a warm-up of each.

    Yields a report for each batch size. The speed-up of a schedule is the median over the rounds of uncached seconds by its own, so drift of the device
    cancels. Beside it stands the ratio of the transformer's arithmetic, counted by torch during the first warm-up: what the speed-up would be if time
    were arithmetic alone.
    """
    runs: list[tuple[str, Schedule | None]] = [("uncached", None)]
    for file in options.schedule:
        entries = read_schedules(file)
        runs += [(f"{file}[{index}]" if len(entries) > 1 else file, entry.schedule) for index, entry in enumerate(entries)]
    steps = {schedule.steps for _, schedule in runs if schedule}
    if len(steps) > 1:
        raise ScheduleError(f"the schedules have {sorted(steps)} steps; expected the same number, for one uncached run")
    if options.steps not in (None, *steps):
        raise ScheduleError(f"--steps is {options.steps}; expected none, or {steps.pop()} as in the schedules")
    options.steps = steps.pop()
    pipeline, device = open_pipeline(options, [(label, schedule) for label, schedule in runs if schedule])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    dtype = str(pipeline.transformer.dtype).removeprefix("torch.")
    flops: list[float] = []  # Of one image.
    for batch in options.batch or [1]:
        prompts = [options.prompt] * batch

        def seconds(schedule: Schedule | None) -> float:
            synchronize(device)
            start = time.perf_counter()
            call(pipeline, prompts, schedule, options, options.seed, "latent")
            synchronize(device)
            return time.perf_counter() - start

        for index, (_, schedule) in enumerate(runs):
            if len(flops) == index:
                with FlopCounterMode(display=False, depth=1) as counter:
                    seconds(schedule)
                flops.append(sum(counter.get_flop_counts()[type(pipeline.transformer).__name__].values()) / batch)
            seconds(schedule)
        rounds = [[seconds(schedule) for _, schedule in runs] for _ in range(options.repeats)]
        rows = [
            _row(label, schedule, rounds, index, batch) | {"flops": batch * flops[index], "flops_ratio": flops[0] / flops[index]}
            for index, (label, schedule) in enumerate(runs)
        ]  # fmt: skip
        yield {"device": name, "dtype": dtype, "torch": torch.__version__, "batch": batch, "steps": options.steps, "rounds": options.repeats, "results": rows}


def _row(name: str, schedule: Schedule | None, rounds: list[list[float]], index: int, batch: int) -> dict[str, Any]:
    own = [measured[index] for measured in rounds]
    ratios = [measured[0] / measured[index] for measured in rounds]
    return {
        "name": name,
        "computed": schedule.computed if schedule else None,
        "components": schedule.total if schedule else None,
        "median_seconds": statistics.median(own),
        "min_seconds": min(own),
        "max_seconds": max(own),
        "speedup": statistics.median(ratios),
        "min_speedup": min(ratios),
        "max_speedup": max(ratios),
        "images_per_second": batch / statistics.median(own),
    }  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """The report as text; ranges are the extremes over the rounds."""
    width = max(len(row["name"]) for row in report["results"])
    head = f"{report['device']}, {report['dtype']}, torch {report['torch']}, batch {report['batch']}, {report['steps']} steps, {report['rounds']} rounds"
    lines = [head, f"{'schedule':{width}}  {'seconds':>24}  {'speed-up':>24}  arithmetic  images/s"]
    for row in report["results"]:
        seconds = f"{row['median_seconds']:.3f} ({row['min_seconds']:.3f} to {row['max_seconds']:.3f})"
        speedup = f"{row['speedup']:.2f} ({row['min_speedup']:.2f} to {row['max_speedup']:.2f})"
        lines.append(f"{row['name']:{width}}  {seconds:>24}  {speedup:>24}  {row['flops_ratio']:10.2f}  {row['images_per_second']:8.2f}")
    return "\n".join(lines)
