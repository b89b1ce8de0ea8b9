"""Component caching for PixArt and FLUX transformers: applies schedules in the published JSON format to diffusers modules.

Follows the reference implementation of ECAD (arXiv 2506.15682): a component is computed if its bit is true or nothing is cached; its
output is cached before gates and residuals are applied. Norms, modulation and gates are always computed for the current step.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

import torch

# Published component names of a block, with the attribute of the module.
PIXART = {"attn1": "attn1", "attn2": "attn2", "ff": "ff"}
FLUX_FULL = {"full_attn": "attn", "full_ff": "ff", "full_ff_context": "ff_context"}
FLUX_SINGLE = {"single_attn": "attn", "single_proj_mlp": "proj_mlp", "single_proj_out": "proj_out"}
TGATE = "compute_attn_tgate"


def components(transformer: torch.nn.Module) -> list[dict[str, torch.nn.Module]]:
    """The modules that a schedule controls, block by block in published order."""
    singles = getattr(transformer, "single_transformer_blocks", None)
    kinds = [(block, PIXART if singles is None else FLUX_FULL) for block in transformer.transformer_blocks]
    kinds += [(block, FLUX_SINGLE) for block in singles or ()]
    return [{name: getattr(block, attribute) for name, attribute in kind.items()} for block, kind in kinds]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """`bits[step][block][component]`, true for recompute; `gate_step`: the step at which TGATE closes the gate, or None."""

    steps: int
    bits: list[list[dict[str, bool]]]
    gate_step: int | None = None

    @staticmethod
    def read(path: pathlib.Path) -> Schedule:
        document = json.loads(path.read_text())
        body = document["cache_schedule"]
        steps, singles = body["num_inference_steps"], body.get("num_single_blocks")
        names = PIXART if singles is None else FLUX_FULL
        blocks = [(str(block), names) for block in range(body["num_blocks"])]
        blocks += [(f"single_{block}", FLUX_SINGLE) for block in range(singles or 0)]
        by_step = {int(key): value for key, value in body["schedule"].items()}
        entries = [[by_step[step][key] for key, _ in blocks] for step in range(steps)]
        custom = [entry["custom_compute_attn"] for row in entries for entry in row if "custom_compute_attn" in entry]
        gates = {item["kwargs"]["gate_step"] for item in custom if item["name"].lower() == TGATE}
        pipeline = (document.get("config") or {}).get("pipeline") or {}
        if pipeline.get("name") == "tgate":
            gates.add(pipeline["kwargs"]["gate_step"])
        if len(gates) > 1 or len(custom) not in (0, steps * len(blocks)):
            raise SystemExit(f"{path}: gate steps are {sorted(gates)}; expected the same one for every block and the pipeline")
        if gates and min(gates) < 1:
            raise SystemExit(f"{path}: gate step is {min(gates)}; expected at least 1")
        bits = [[{name: entry[name] for name in kind} for entry, (_, kind) in zip(row, blocks)] for row in entries]
        return Schedule(steps, bits, gates.pop() if gates else None)


class ComponentCache:
    """A context manager that applies a schedule to a transformer; call `advance()` after each denoising step.

    Without a schedule the transformer is unchanged. With a gate step m (TGATE), the cached cross-attention is averaged over the two
    guidance halves at step m-1; from step m on the model runs only the negative half, whose output is the prediction.
    """

    def __init__(self, transformer: torch.nn.Module, schedule: Schedule | None):
        self.transformer = transformer
        self.schedule = schedule
        self.step = 0
        self.cached: dict[tuple[int, str], torch.Tensor | tuple[torch.Tensor, ...]] = {}
        self.computed: list[set[tuple[int, str]]] = [set()]
        self.wrapped: list[torch.nn.Module] = []

    def __enter__(self) -> ComponentCache:
        if self.schedule is None:
            return self
        blocks = components(self.transformer)
        found, expected = [list(row) for row in self.schedule.bits[0]], [list(block) for block in blocks]
        if found != expected:
            raise SystemExit(f"schedule has {len(found)} blocks; expected {len(expected)} blocks with the components of this transformer")
        for index, block in enumerate(blocks):
            for name, module in block.items():
                self._wrap(module, functools.partial(self._component, (index, name), module.forward))
        if self.schedule.gate_step is not None:
            self._wrap(self.transformer, functools.partial(self._gated_forward, self.transformer.forward))
        return self

    def __exit__(self, *error: object) -> None:
        for module in self.wrapped:
            del module.forward  # restores the method of the class
        self.wrapped.clear()
        self.cached.clear()

    def advance(self) -> None:
        self.step += 1
        self.computed.append(set())

    def _wrap(self, module: torch.nn.Module, forward: functools.partial) -> None:
        module.forward = forward
        self.wrapped.append(module)

    def _component(self, key: tuple[int, str], compute, *arguments, **options) -> torch.Tensor | tuple[torch.Tensor, ...]:
        index, name = key
        gate = self.schedule.gate_step if name == "attn2" else None
        closed = gate is not None and self.step >= gate
        bit = self.schedule.bits[self.step][index][name] and not closed
        if bit or (key not in self.cached and not closed):
            output = compute(*arguments, **options)
            self.computed[-1].add(key)
        else:
            output = self.cached[key]
        halves = gate is not None and self.step == gate - 1
        self.cached[key] = sum(output.chunk(2)) / 2 if halves else output
        return output

    def _gated_forward(self, forward, hidden_states: torch.Tensor, **options):
        """From the gate step on, runs the negative half and returns it twice, so that guidance has no effect."""
        if self.step < self.schedule.gate_step:
            return forward(hidden_states, **options)
        half = hidden_states.shape[0] // 2
        conditions = options.pop("added_cond_kwargs")
        options = {name: value[:half] if torch.is_tensor(value) else value for name, value in options.items()}
        conditions = {name: value if value is None else value[:half] for name, value in conditions.items()}
        sample = forward(hidden_states[:half], added_cond_kwargs=conditions, **options)[0]
        return (torch.cat([sample, sample]),)
