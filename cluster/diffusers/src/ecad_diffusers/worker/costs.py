"""Measures what each component of a model costs on this device, as a cost table in the format of Sources/Schedules/CostTable.swift."""

from __future__ import annotations

import dataclasses
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from ..apply import _components
from ..pipelines import synchronize
from ..schedule import Action, Schedule, ScheduleError, Shape

LONGEST_ROUNDS = 15


@dataclasses.dataclass
class Measured:
    """A cost table as JSON, seconds of the uncached model for the batch, and the median relative error over measured schedules."""

    table: str
    uncached_seconds: float
    fit_error: float


@dataclasses.dataclass
class Costs:
    """Seconds for one instance of a component: to compute it, to keep its output beyond that, and to read a kept one."""

    compute: float = 0.0
    keep: float = 0.0
    read: float = 0.0


@dataclasses.dataclass
class _Step:
    """Seconds of a step outside its components, and of every component's call, by its index within a step."""

    rest: float
    components: dict[int, float]


class _Recorder:
    """Takes the time of every step and component of a run, by CUDA events on a GPU."""

    def __init__(self, transformer: torch.nn.Module, device: torch.device):
        self._transformer = transformer
        self._components = _components(transformer)
        self._device = device
        self._starts: list[Any] = []
        self._calls: list[dict[int, tuple[Any, Any]]] = []
        self._begun: dict[int, Any] = {}

    def record(self, run: Callable[[], float]) -> list[_Step]:
        """The steps of one run; what it does before the first one is spread over all."""
        self._starts, self._calls = [], []
        handles = [self._transformer.register_forward_pre_hook(lambda module, inputs: self._begin_step())]
        for index, component in enumerate(self._components):
            handles.append(component.register_forward_pre_hook(lambda module, inputs, index=index: self._begun.__setitem__(index, self._now())))
            handles.append(component.register_forward_hook(lambda module, inputs, output, index=index: self._end(index)))
        begin = self._now()
        try:
            run()
        finally:
            for handle in handles:
                handle.remove()
        self._starts.append(self._now())
        synchronize(self._device)
        once = self._between(begin, self._starts[0]) / len(self._calls)
        steps = []
        for calls, start, end in zip(self._calls, self._starts, self._starts[1:]):
            components = {index: self._between(*marks) for index, marks in calls.items()}
            steps.append(_Step(once + self._between(start, end) - sum(components.values()), components))
        return steps

    def _begin_step(self) -> None:
        self._starts.append(self._now())
        self._calls.append({})

    def _end(self, index: int) -> None:
        self._calls[-1][index] = (self._begun.pop(index), self._now())

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _between(self, begin: Any, end: Any) -> float:
        return float(begin.elapsed_time(end) / 1000 if self._device.type == "cuda" else end - begin)


def measure_costs(
    pipeline: Any, shape: Shape, device: torch.device, guided: bool, images: int, run: Callable[[Schedule | None], float], budget: float,
    progress: Callable[[int, int], None],
) -> Measured:  # fmt: skip
    """Measures a cost table within about `budget` seconds; at least one round is complete.

    `run` denoises the batch under a schedule, or uncached, and returns its seconds. Every round takes the time of the components of an uncached
    run, of one that keeps and reuses everything, and with guidance of one behind TGATE's gate. Whole runs of other schedules, next to the
    uncached model and without timing components, give the error of the table.
    """
    recorder = _Recorder(pipeline.transformer, device)
    names = [name for kind in shape.kinds for name in kind.components]
    designs = _designs(shape)
    schedules: list[Schedule | None] = [None, Schedule.fora(shape, 2)]
    if guided and not shape.flux and shape.steps > 2:
        schedules.append(Schedule(shape, (True,) * shape.genes, gate_step=1))
    samples: dict[tuple[str, str, str], list[float]] = {}
    references: list[float] = []
    ratios: list[list[float]] = [[] for _ in designs]
    in_round = len(schedules) + len(designs) + 2
    done, number, rounds = 0, 0, 1

    def timed(schedule: Schedule | None) -> float:
        nonlocal done
        progress(done, rounds * in_round)
        done += 1
        return run(schedule)

    run(None)  # Allocates memory and selects kernels.
    start = time.perf_counter()
    while number < rounds:
        references.append(timed(None))
        for schedule in schedules:
            steps = recorder.record(lambda schedule=schedule: timed(schedule))  # type: ignore[misc]
            if len(steps) != shape.steps:
                raise ScheduleError("the pipeline calls the transformer more than once per step, as with true_cfg_scale; expected one call")
            _add(samples, steps, schedule, names)
        measured = [timed(design) for design in designs]
        references.append(timed(None))
        for own, seconds in zip(ratios, measured):
            own.append(2 * seconds / (references[-2] + references[-1]))
        number += 1
        if number == 1:
            rounds = min(max(int(budget / (time.perf_counter() - start)), 1), LONGEST_ROUNDS)
    phases = {phase: _phase(phase, samples, names) for phase in (("full", "gated") if len(schedules) > 2 else ("full",))}
    uncached = _seconds(phases["full"], Schedule.uncached(shape))
    errors = [abs(_seconds(phases["full"], design) / uncached / statistics.median(own) - 1) for design, own in zip(designs, ratios)]
    table = {"imageCount": images} | {phase: {"step": step, "components": {name: dataclasses.asdict(cost) for name, cost in costs.items()}} for phase, (step, costs) in phases.items()}
    return Measured(json.dumps(table, sort_keys=True), statistics.median(references), statistics.median(errors))


def _add(samples: dict[tuple[str, str, str], list[float]], steps: list[_Step], schedule: Schedule | None, names: list[str]) -> None:
    """Adds a run to the samples of a phase, a component and what it did; `step` for the rest of a step."""
    gate = schedule.effective_gate if schedule else None
    for number, step in enumerate(steps):
        if gate is not None and number < gate:
            continue  # Only there to reach the gate.
        phase = "full" if gate is None else "gated"
        samples.setdefault((phase, "step", ""), []).append(step.rest)
        for index, seconds in step.components.items():
            action = schedule.plan[number][index] if schedule else Action.COMPUTE
            kind = "compute" if action is Action.COMPUTE else "keep" if action is Action.KEEP else "read"
            samples.setdefault((phase, names[index], kind), []).append(seconds)


def _phase(phase: str, samples: dict[tuple[str, str, str], list[float]], names: list[str]) -> tuple[float, dict[str, Costs]]:
    """The cost of a step without its components, and of the components; medians, so that disturbances do not count."""
    costs = {}
    for name in dict.fromkeys(names):
        found = {kind: statistics.median(samples[phase, name, kind]) for kind in ("compute", "keep", "read") if (phase, name, kind) in samples}
        compute = found.get("compute", 0.0)
        costs[name] = Costs(compute, max(0.0, found.get("keep", compute) - compute), found.get("read", 0.0))
    return max(0.0, statistics.median(samples[phase, "step", ""])), costs


def _seconds(phase: tuple[float, dict[str, Costs]], schedule: Schedule) -> float:
    """Modelled seconds under a schedule without a gate."""
    step, costs = phase
    names = [name for kind in schedule.shape.kinds for name in kind.components]
    total = step * schedule.steps
    for actions in schedule.plan:
        for name, action in zip(names, actions):
            cost = costs[name]
            total += cost.compute + (cost.keep if action is Action.KEEP else 0) if action.computes else cost.read if action.reuses else 0
    return total


def _designs(shape: Shape) -> list[Schedule]:
    """Schedules like those of a search: whole cached steps, and reuse scattered with another share for every component and step."""
    found = [Schedule.fora(shape, interval) for interval in (2, 3, 5) if interval <= shape.steps]
    draw = random.Random(1)
    for _ in range(4):
        shares = [[draw.random() for _ in range(9)] for _ in range(shape.steps)]
        kinds = shape.kinds
        bits = [
            draw.random() < shares[step][3 * list(dict.fromkeys(kinds)).index(kind) + component]
            for step in range(shape.steps) for kind in kinds for component in range(3)
        ]  # fmt: skip
        found.append(Schedule(shape, tuple(bits)))
    return found
