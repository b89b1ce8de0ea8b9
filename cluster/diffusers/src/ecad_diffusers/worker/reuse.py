"""Measures how much reuse of each component's output changes the final latents, as Sources/Diffusion/ReuseProbe.swift does."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from ..apply import _components, _replace
from ..schedule import BlockKind, Shape
from .errors import WorkerError
from .precision import float32_stream, float32_weights

log = logging.getLogger("ecad-torch-worker")

PROJECTIONS = 16
"""Random projections of each output over its tokens; outputs of as many tokens or fewer are kept as they are."""

Contributions = list[tuple[torch.Tensor, torch.Tensor]]
"""What a component adds to the residual stream: outputs `[B, T, C]` and the squares of their gates `[B, C]`, image and text apart."""


def measure_reuse(pipeline: Any, shape: Shape, rows: int, run: Callable[[int], torch.Tensor], progress: Callable[[int, int], None]) -> torch.Tensor:
    """The reuse errors of one image, float32 in the order of Evolution.ReuseErrors: `[chains, pairs of a step and an earlier one]`.

    `run` denoises that many copies of the image, at most `rows`, and returns their final latents; `progress` raises Cancelled to stop. An entry is the
    squared change of what the chain's component adds to the residual stream between the two steps, times the gain of the later step: the squared
    distance of the final latents when everything is reused at that step alone, per unit of change.

    Computed in float32, because rounding to half precision changes the final latents more than reuse does at most steps. Where the memory of the device
    is too small for the weights in float32, at least the residual stream is.
    """
    transformer = pipeline.transformer
    try:
        with float32_weights(transformer):
            return _measure(pipeline, shape, rows, run, progress)
    except torch.OutOfMemoryError:
        log.warning("too little memory for the weights in float32: small reuse errors will be those of rounding in %s", str(transformer.dtype).removeprefix("torch."))
    torch.cuda.empty_cache()
    with float32_stream(transformer):
        return _measure(pipeline, shape, rows, run, progress)


def _measure(pipeline: Any, shape: Shape, rows: int, run: Callable[[int], torch.Tensor], progress: Callable[[int, int], None]) -> torch.Tensor:
    groups = [range(first, min(first + rows, shape.steps)) for first in range(1, shape.steps, rows)]
    computed = shape.steps + sum(len(_active(group, step)) for group in groups for step in range(shape.steps))
    total = max(1, (shape.steps + 1) // 2)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        progress(done * total // computed, total)
        done += count

    with contextlib.ExitStack() as stack:
        trajectory = _Trajectory(pipeline, shape, advance, stack)
        uncached = run(1)
        _require_finite(uncached, "the latents of the uncached model are not finite; expected another precision or a sound device")
        changes = trajectory.changes()
        gains = torch.zeros(shape.steps, dtype=torch.float64)
        for group in groups:
            trajectory.branch(group)
            for step, latents in zip(group, run(len(group))):
                _require_finite(latents, f"the latents are not finite when everything is reused at step {step + 1}")
                local = float(changes[:, step * (step + 1) // 2 - 1].sum())
                gains[step] = float((latents - uncached[0]).double().square().sum()) / local if local > 0 else 0.0
    pairs = torch.arange(shape.steps).repeat_interleave(torch.arange(shape.steps))
    progress(total, total)
    return (changes * gains[pairs]).float()


def _active(branches: range, step: int) -> list[int]:
    """The branches that are computed at a step: from the step before their reuse on, whose outputs they reuse."""
    return [row for row, reuse in enumerate(branches) if step >= reuse - 1]


def _require_finite(latents: torch.Tensor, reason: str) -> None:
    if not torch.isfinite(latents).all():
        raise WorkerError(reason)


class _Trajectory:
    """Observes the transformer until the stack unwinds: records the first run of the pipeline, later branches off it."""

    def __init__(self, pipeline: Any, shape: Shape, advance: Callable[[int], None], stack: contextlib.ExitStack):
        self._transformer = pipeline.transformer
        self._signature = inspect.signature(type(pipeline.transformer).forward)
        self._shape = shape
        self._advance = advance
        self._blocks = [*self._transformer.transformer_blocks, *getattr(self._transformer, "single_transformer_blocks", ())]
        self._predictions: list[torch.Tensor] = []
        """Of every step of the first run."""
        self._branches: range | None = None
        """The steps at which copies of the image reuse everything; None in the first run."""
        self._computed: list[int] = []
        """The copies that are computed in the present call."""
        self._kept: list[list[torch.Tensor]] = []
        """Of each chain, what the next copy to reuse everything will reuse."""
        self._step = 0
        self._text_tokens = 0
        self._timestep: torch.Tensor | None = None
        """PixArt's modulation of all blocks, `[B, 6 D]`."""
        self._gates: list[list[torch.Tensor]] = [[] for _ in self._blocks]
        """FLUX's gates `[B, D]` of each block at the current step."""
        self._sketches: list[list[Contributions]] = [[] for _ in range(shape.genes_per_step)]
        """Of each chain and step, with projections in place of outputs, on the CPU."""
        self._signs: dict[tuple[int, int], list[torch.Tensor]] = {}
        """Those of each chain and part of its output, by row."""
        self._original = self._transformer.forward
        _replace(stack, self._transformer, "forward", self._forward)
        for handle in self._register():
            stack.callback(handle.remove)

    def _register(self) -> Iterator[Any]:
        for chain, component in enumerate(_components(self._transformer)):
            yield component.register_forward_hook(functools.partial(self._record, chain))
        if not self._shape.flux:
            yield self._transformer.adaln_single.register_forward_hook(self._record_modulation)
            return
        for block, (module, kind) in enumerate(zip(self._blocks, self._shape.kinds)):
            # Each norm returns the normalised input, then gates and the modulation of the feed-forward.
            norms = [(module.norm1, (1, 4)), (module.norm1_context, (1, 4))] if kind is BlockKind.FLUX_DOUBLE else [(module.norm, (1,))]
            for first, (norm, indices) in enumerate(norms):
                yield norm.register_forward_hook(functools.partial(self._record_gates, block, first == 0, indices))

    def branch(self, steps: range) -> None:
        """Makes the next run one of several copies of the image; copy `row` reuses everything at `steps[row]`."""
        self._step, self._branches = 0, steps
        self._kept = [[] for _ in range(self._shape.genes_per_step)]
        self._sketches = []

    def changes(self) -> torch.Tensor:
        """The squared changes of the recorded run, float64 `[chains, pairs]`, weighted by the gates of the later step."""
        device = next(self._transformer.parameters()).device
        return torch.stack([_changes(steps, device) for steps in self._sketches])

    def _forward(self, *arguments: Any, **options: Any) -> tuple[torch.Tensor]:
        if self._step == self._shape.steps:
            raise WorkerError("the pipeline calls the transformer more than once per step, as with true_cfg_scale; expected one call")
        step, self._step = self._step, self._step + 1
        call = self._signature.bind(self._transformer, *arguments, **options).arguments
        call.pop("self")
        call["return_dict"] = False
        if self._branches is None:
            self._advance(1)
            if self._shape.flux:
                self._text_tokens = call["encoder_hidden_states"].shape[1]
            self._predictions.append(self._original(**call)[0])
            return (self._predictions[-1],)
        # Copies that do not differ yet have the predictions of the first run. With guidance, a batch has both halves.
        copies = len(self._branches)
        prediction = self._predictions[step].repeat_interleave(copies, 0)
        self._computed = _active(self._branches, step)
        if self._computed:
            self._advance(len(self._computed))
            batch = len(prediction)
            rows = torch.tensor([first + row for first in range(0, batch, copies) for row in self._computed], device=prediction.device)
            selected = {name: value if name in ("img_ids", "txt_ids") else _select(value, rows, batch) for name, value in call.items()}
            prediction[rows] = self._original(**selected)[0]
        return (prediction,)

    def _reuse(self, chain: int, output: Any) -> Any:
        """Replaces the output of the copy that reuses everything at this step, and keeps that of the copy which will at the next one."""
        assert self._branches is not None
        parts, step, count = output if isinstance(output, tuple) else (output,), self._step - 1, len(self._computed)
        if step in self._branches:
            row = self._computed.index(self._branches.index(step))
            parts = tuple(part.clone() for part in parts)
            for part, kept in zip(parts, self._kept[chain]):
                part[row::count] = kept
        if step + 1 in self._branches:
            row = self._computed.index(self._branches.index(step + 1))
            self._kept[chain] = [part[row::count].clone() for part in parts]
        return parts if isinstance(output, tuple) else parts[0]

    def _record_modulation(self, module: Any, inputs: Any, output: Any) -> None:
        self._timestep = output[0]

    def _record_gates(self, block: int, is_first: bool, indices: tuple[int, ...], module: Any, inputs: Any, output: Any) -> None:
        if is_first:
            self._gates[block] = []
        self._gates[block] += [output[index] for index in indices]

    def _record(self, chain: int, module: Any, inputs: Any, output: Any) -> Any:
        if self._branches is not None:
            return self._reuse(chain, output)
        parts = self._contributions(chain, output)
        projected = [self._project(chain, index, len(parts), part.float()) for index, (part, _) in enumerate(parts)]
        self._sketches[chain].append([(values.cpu(), gains.cpu()) for values, (_, gains) in zip(projected, parts)])
        return None

    def _project(self, chain: int, part: int, parts: int, output: torch.Tensor) -> torch.Tensor:
        """Projections of an output over its tokens, or the tokens themselves if they are few."""
        tokens = output.shape[1]
        if tokens <= PROJECTIONS:
            return output.clone()
        if (chain, part) not in self._signs:
            first = chain << 8
            seeds = range(first + part, first + len(output) * parts, parts)
            self._signs[chain, part] = [_signs(tokens, seed).to(output.device) for seed in seeds]
        return _project(output, self._signs[chain, part])

    def _contributions(self, chain: int, output: Any) -> Contributions:
        block, component = divmod(chain, 3)
        kind = self._shape.kinds[block]
        if kind is BlockKind.PIXART:
            assert self._timestep is not None
            if component == 1:
                return [(output, torch.ones_like(output[:, 0], dtype=torch.float32))]
            modulation = self._blocks[block].scale_shift_table + self._timestep.reshape(output.shape[0], 6, -1)
            return [(output, modulation[:, 2 if component == 0 else 5].float().square())]
        squares = [gate.float().square() for gate in self._gates[block]]
        if kind is BlockKind.FLUX_DOUBLE:
            return [(output[0], squares[0]), (output[1], squares[2])] if component == 0 else [(output, squares[1 if component == 1 else 3])]
        # Attention and MLP reach the stream through the projection; what it makes of a channel is not told apart.
        gains = squares[0] if component == 2 else squares[0].mean(1, keepdim=True).expand(-1, output.shape[2])
        return [(output[:, self._text_tokens :], gains), (output[:, : self._text_tokens], gains)]


def _select(value: Any, rows: torch.Tensor, batch: int) -> Any:
    """Rows of the tensors of a batch."""
    if isinstance(value, dict):
        return {name: _select(member, rows, batch) for name, member in value.items()}
    return value[rows] if torch.is_tensor(value) and value.ndim > 0 and value.shape[0] == batch else value


def _changes(steps: list[Contributions], device: torch.device) -> torch.Tensor:
    """The squared changes of one chain, float64 `[pairs]`."""
    total = torch.zeros(len(steps) * (len(steps) - 1) // 2, dtype=torch.float64)
    for parts in zip(*steps):
        outputs = torch.stack([output for output, _ in parts]).to(device)  # [steps, B, N, C]
        for step in range(1, len(steps)):
            weighted = (outputs[step] - outputs[:step]).square() * parts[step][1].to(device)[:, None]
            total[step * (step - 1) // 2 :][:step] += weighted.sum(-1).cpu().double().sum((1, 2))
    return total


def _project(output: torch.Tensor, signs: list[torch.Tensor]) -> torch.Tensor:
    """Sums over the tokens with random signs, the same at every step, `[B, PROJECTIONS, C]`.

    Squared differences of sums have the right expectation (Johnson and Lindenstrauss 1984). Every chain and row has signs of its own.
    """
    return torch.stack([row_signs @ row for row_signs, row in zip(signs, output)])


def _signs(tokens: int, seed: int) -> torch.Tensor:
    """Signs times `PROJECTIONS ** -0.5`, `[PROJECTIONS, tokens]`: those of the native engine, which draws them with SplitMix64."""
    word = np.uint64(seed) + np.arange(1, tokens + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ word >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ word >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    bits = word >> np.arange(PROJECTIONS, dtype=np.uint64)[:, None] & np.uint64(1)
    return torch.from_numpy(np.where(bits == 1, 1, -1).astype(np.float32)) * float(PROJECTIONS**-0.5)
