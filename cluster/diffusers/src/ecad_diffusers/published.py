"""The published schedule format: one JSON object per schedule, as the authors of ECAD and `ecad-coordinator export` write it."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from . import jsontext
from .schedule import BLOCK_LIMIT, STEP_LIMIT, BlockKind, Schedule, ScheduleError, Shape

PIPELINES = ("pixart_alpha", "pixart_sigma", "tgate", "flux", "pass_through")
CONFIG_KEYS = (
    "transformer_weights", "pipeline_weights", "pipeline", "height", "width", "guidance_scale", "image_generator",
    # The original's current generators put these attributes here by mistake.
    "num_affected_blocks", "num_affected_steps", "num_total_affected_blocks",
)  # fmt: skip


def parse(data: bytes, file: str) -> tuple[Schedule, dict[str, Any]]:
    """Reads a file's schedule and its `config`.

    Stricter than the original, which takes a missing `cache_schedule` for "recompute everything" and ignores unknown keys. Steps beyond
    `num_inference_steps` are checked and dropped.
    """
    start = data.lstrip()[:20]
    if start[:1] not in (b"{", b"["):
        found = f"begins with {start.decode(errors='replace')!r}" if start else "the file is empty"
        raise ScheduleError(f"{file}: {found}; expected a JSON schedule as ECAD publishes it, or a compact file (.ecad)")
    root = jsontext.parse(data, file)
    graph = root.optional("dit_schedule")
    if graph:
        graph.unknown("only cache_schedule; rewritten block graphs do not run here")
    section = root.required("cache_schedule", "expected a schedule as ECAD publishes it")
    gate = pipeline_gate(root)
    section.allow_only(("num_blocks", "num_single_blocks", "num_inference_steps", "name", "attributes", "schedule"))
    shape = _shape(section)
    bits, block_gate = _bits(section.required("schedule"), shape)
    if (gate and gate.step) != (block_gate and block_gate.step):
        if gate:
            expected = f"gate step {block_gate.step}, as in the blocks" if block_gate else "compute_attn_tgate with this gate step in every block"
            gate.place.mismatch(expected)
        assert block_gate
        block_gate.place.mismatch("the same gate step in config.pipeline, which does not name tgate")
    name, attributes, metrics, config = section.optional("name"), section.optional("attributes"), root.optional("metrics"), root.optional("config")
    for member in (attributes, metrics):
        if member:
            member.object()
    schedule = Schedule(shape, bits, gate.step if gate else None, name.string() if name else "")
    return schedule, config.object() if config else {}


def text(schedule: Schedule, config: dict[str, Any] | None = None) -> str:
    """The file of a schedule; `config` of a TGATE schedule gets its pipeline, which holds the gate step."""
    shape, bits = schedule.shape, iter(schedule.bits)
    gate = {"gate_step": schedule.gate_step}
    custom = {} if schedule.gate_step is None else {"custom_compute_attn": {"name": "compute_attn_tgate", "kwargs": gate}}
    steps = {
        f"{step:03}": {key: {component: next(bits) for component in kind.components} | custom for key, kind in zip(shape.keys, shape.kinds)}
        for step in range(shape.steps)
    }
    section = {"num_blocks": shape.blocks, "num_inference_steps": shape.steps, "name": schedule.name, "attributes": {}, "schedule": steps}
    if shape.flux:
        section["num_single_blocks"] = shape.singles
    config = dict(config or {})
    if schedule.gate_step is not None:
        config["pipeline"] = {"name": "tgate", "kwargs": gate}
    return json.dumps({"cache_schedule": section, "config": config, "metrics": {}}, indent=4) + "\n"


@dataclasses.dataclass(frozen=True)
class Gate:
    """A gate step and its place in the file."""

    step: int
    place: jsontext.Node


def pipeline_gate(root: jsontext.Node) -> Gate | None:
    """Checks `config` and returns the gate step of its pipeline."""
    config = root.optional("config")
    if config is None:
        return None
    config.allow_only(CONFIG_KEYS)
    for key in ("transformer_weights", "pipeline_weights", "image_generator"):
        if text := config.optional(key):
            text.string()
    for key in ("height", "width"):
        if size := config.optional(key):
            size.integer(1, 65536)
    if scale := config.optional("guidance_scale"):
        scale.number()
    pipeline = config.optional("pipeline")
    if pipeline is None:
        return None
    pipeline.allow_only(("name", "kwargs"))
    name = pipeline.required("name")
    if name.string() not in PIPELINES:
        name.mismatch(f"one of {', '.join(PIPELINES)}")
    if name.value != "tgate":
        if keywords := pipeline.optional("kwargs"):
            keywords.allow_only(())
        return None
    return _gate(pipeline.required("kwargs"))


def _gate(keywords: jsontext.Node) -> Gate:
    keywords.allow_only(("gate_step",))
    place = keywords.required("gate_step")
    return Gate(place.integer(1, STEP_LIMIT), place)


def _shape(section: jsontext.Node) -> Shape:
    steps = section.required("num_inference_steps").integer(1, STEP_LIMIT)
    blocks, singles = section.required("num_blocks"), section.optional("num_single_blocks")
    if singles is None:
        return Shape(False, blocks.integer(1, BLOCK_LIMIT), 0, steps)
    double = blocks.integer(0, BLOCK_LIMIT)
    return Shape(True, double, singles.integer(0 if double else 1, max(1, BLOCK_LIMIT - double)), steps)


def _bits(schedule: jsontext.Node, shape: Shape) -> tuple[tuple[bool, ...], Gate | None]:
    rows: dict[int, list[bool]] = {}
    gates = _BlockGates()
    for key, step in schedule.members():
        if not re.fullmatch("[0-9]{1,18}", key):
            step.unknown('a step number such as "003"')
        row = _row(step, shape, gates)
        index = int(key)
        if index >= shape.steps:
            continue
        if index in rows:
            step.mismatch(f"one entry for step {index}")
        rows[index] = row
    for index in range(shape.steps):
        if index not in rows:
            schedule.missing(f"{index:03}", f"num_inference_steps is {shape.steps}")
    return tuple(bit for index in range(shape.steps) for bit in rows[index]), gates.gate


def _row(step: jsontext.Node, shape: Shape, gates: _BlockGates) -> list[bool]:
    blocks: dict[str, list[bool]] = {}
    kinds = dict(zip(shape.keys, shape.kinds))
    for key, block in step.members():
        if key not in kinds:
            expected = f'blocks "0" to "{shape.blocks - 1}"'
            block.unknown(expected + (f' and "single_0" to "single_{shape.singles - 1}"' if shape.singles else ""))
        kind = kinds[key]
        hint = "a FLUX file needs num_single_blocks in cache_schedule" if kind is BlockKind.PIXART else ""
        blocks[key] = [block.required(component, hint).boolean() for component in kind.components]
        gates.read(block, kind)
    for key in kinds:
        if key not in blocks:
            step.missing(key, f"every step needs all {shape}")
    return [bit for key in kinds for bit in blocks[key]]


class _BlockGates:
    """Collects the gate step that every block of a TGATE file names."""

    def __init__(self) -> None:
        self.gate: Gate | None = None
        self._first = True

    def read(self, block: jsontext.Node, kind: BlockKind) -> None:
        """Reads a block's custom functions and rejects keys other than these and its components."""
        if kind is not BlockKind.PIXART:
            block.allow_only(kind.components)
            return
        block.allow_only((*kind.components, "custom_compute_attn", "custom_compute_ff"))
        if feed_forward := block.optional("custom_compute_ff"):
            _function_name(feed_forward, ("compute_ff_cached",))
            if keywords := feed_forward.optional("kwargs"):
                keywords.allow_only(())
        found: Gate | None = None
        if attention := block.optional("custom_compute_attn"):
            if _function_name(attention, ("compute_attn_cached", "compute_attn_tgate")) == "compute_attn_tgate":
                found = _gate(attention.required("kwargs"))
            elif keywords := attention.optional("kwargs"):
                keywords.allow_only(())
        if not self._first and (found and found.step) != (self.gate and self.gate.step):
            expected = f"compute_attn_tgate with gate step {self.gate.step}" if self.gate else "no compute_attn_tgate"
            (found.place if found else block).mismatch(f"{expected}, as in the blocks before")
        self.gate, self._first = found, False


def _function_name(function: jsontext.Node, allowed: tuple[str, ...]) -> str:
    """The name of a custom function in lower case, since the original ignores case."""
    function.allow_only(("name", "kwargs"))
    field = function.required("name")
    name = field.string().lower()
    if name not in allowed:
        field.mismatch(" or ".join(allowed))
    return name
