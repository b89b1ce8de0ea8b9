"""Component caching for PixArt transformers: a schedule's published JSON format, applied to diffusers' modules.

Follows the reference implementation of ECAD (arXiv 2506.15682): a component is computed when its bit is true or nothing is kept of
it; what it returns is kept, before gates and residuals. Norms, modulation and gates always belong to the current step.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

import torch

COMPONENTS = ("attn1", "attn2", "ff")
TGATE = "compute_attn_tgate"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """`bits[step][block][component]`, true for recompute, and the step at which TGATE closes the gate, if it does."""

    steps: int
    bits: list[list[dict[str, bool]]]
    gate_step: int | None = None

    @staticmethod
    def read(path: pathlib.Path) -> Schedule:
        document = json.loads(path.read_text())
        body = document["cache_schedule"]
        steps, blocks = body["num_inference_steps"], body["num_blocks"]
        by_step = {int(key): value for key, value in body["schedule"].items()}
        entries = [[by_step[step][str(block)] for block in range(blocks)] for step in range(steps)]
        custom = [entry["custom_compute_attn"] for row in entries for entry in row if "custom_compute_attn" in entry]
        gates = {item["kwargs"]["gate_step"] for item in custom if item["name"].lower() == TGATE}
        pipeline = (document.get("config") or {}).get("pipeline") or {}
        if pipeline.get("name") == "tgate":
            gates.add(pipeline["kwargs"]["gate_step"])
        if len(gates) > 1 or len(custom) not in (0, steps * blocks):
            raise SystemExit(f"{path}: expected one gate step for every block and the pipeline, found {sorted(gates)}")
        if gates and min(gates) < 1:
            raise SystemExit(f"{path}: expected a gate step of at least 1, found {min(gates)}")
        bits = [[{name: entry[name] for name in COMPONENTS} for entry in row] for row in entries]
        return Schedule(steps, bits, gates.pop() if gates else None)


class ComponentCache:
    """Within `with`, the transformer's components obey the schedule; `advance()` ends a denoising step.

    With no schedule the transformer is left alone. With a gate step m (TGATE): at step m-1 the kept cross attention becomes the mean of
    the two guidance halves; from step m on the model sees only the negative half, which then is the prediction.
    """

    def __init__(self, transformer: torch.nn.Module, schedule: Schedule | None):
        self.transformer = transformer
        self.schedule = schedule
        self.step = 0
        self.kept: dict[tuple[int, str], torch.Tensor] = {}
        self.computed: list[set[tuple[int, str]]] = [set()]
        self.wrapped: list[torch.nn.Module] = []

    def __enter__(self) -> ComponentCache:
        if self.schedule is None:
            return self
        blocks = self.transformer.transformer_blocks
        if len(self.schedule.bits[0]) != len(blocks):
            raise SystemExit(f"schedule: expected {len(blocks)} blocks, found {len(self.schedule.bits[0])}")
        for index, block in enumerate(blocks):
            for name in COMPONENTS:
                module = getattr(block, name)
                self._wrap(module, functools.partial(self._component, (index, name), module.forward))
        if self.schedule.gate_step is not None:
            self._wrap(self.transformer, functools.partial(self._gated_forward, self.transformer.forward))
        return self

    def __exit__(self, *error: object) -> None:
        for module in self.wrapped:
            del module.forward  # uncovers the class's own
        self.wrapped.clear()
        self.kept.clear()

    def advance(self) -> None:
        self.step += 1
        self.computed.append(set())

    def _wrap(self, module: torch.nn.Module, forward: functools.partial) -> None:
        module.forward = forward
        self.wrapped.append(module)

    def _component(self, key: tuple[int, str], compute, *arguments, **options) -> torch.Tensor:
        index, name = key
        gate = self.schedule.gate_step if name == "attn2" else None
        closed = gate is not None and self.step >= gate
        bit = self.schedule.bits[self.step][index][name] and not closed
        if bit or (key not in self.kept and not closed):
            output = compute(*arguments, **options)
            self.computed[-1].add(key)
        else:
            output = self.kept[key]
        halves = gate is not None and self.step == gate - 1
        self.kept[key] = sum(output.chunk(2)) / 2 if halves else output
        return output

    def _gated_forward(self, forward, hidden_states: torch.Tensor, **options):
        """From the gate step on, runs the negative half and hands it out twice: guidance then leaves it as it is."""
        if self.step < self.schedule.gate_step:
            return forward(hidden_states, **options)
        half = hidden_states.shape[0] // 2
        conditions = options.pop("added_cond_kwargs")
        options = {name: value[:half] if torch.is_tensor(value) else value for name, value in options.items()}
        conditions = {name: value if value is None else value[:half] for name, value in conditions.items()}
        sample = forward(hidden_states[:half], added_cond_kwargs=conditions, **options)[0]
        return (torch.cat([sample, sample]),)
