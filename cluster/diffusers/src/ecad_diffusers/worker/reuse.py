"""Measures how much reuse of each component's output changes the final latents, as Sources/Diffusion/ReuseProbe.swift does."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..apply import _components, _replace
from ..schedule import BlockKind, Schedule, Shape
from .errors import WorkerError

PROJECTIONS = 16
"""Random projections of each output over its tokens; outputs of as many tokens or fewer are kept as they are."""

Contributions = list[tuple[torch.Tensor, torch.Tensor]]
"""What a component adds to the residual stream: outputs `[B, T, C]` and the squares of their gates `[B, C]`, image and text apart."""


def measure_reuse(pipeline: Any, shape: Shape, run: Callable[[Schedule | None], torch.Tensor], progress: Callable[[int, int], None]) -> torch.Tensor:
    """The reuse errors of one image, float32 in the order of Evolution.ReuseErrors: `[chains, pairs of a step and an earlier one]`.

    `run` denoises the image under a schedule, or uncached, and returns its final latents; `progress` raises Cancelled to stop. An entry is the
    squared change of what the chain's component adds to the residual stream between the two steps, times the gain of the later step: the squared
    distance of the final latents when everything is reused at that step alone, per unit of change.
    """
    # Each branch computes the step before the reuse again, to have its outputs.
    steps = shape.steps + sum(shape.steps - step + 1 for step in range(1, shape.steps))
    total = max(1, (shape.steps + 1) // 2)
    done = 0

    def advance() -> None:
        nonlocal done
        progress(done * total // steps, total)
        done += 1

    with contextlib.ExitStack() as stack:
        trajectory = _Trajectory(pipeline, shape, advance, stack)
        uncached = run(None)
        _require_finite(uncached, "the latents of the uncached model are not finite; expected another precision or a sound device")
        changes = trajectory.changes()
        gains = torch.zeros(shape.steps, dtype=torch.float64)
        for step in range(1, shape.steps):
            trajectory.replay(step - 1)
            rows = [number != step for number in range(shape.steps)]
            latents = run(Schedule(shape, tuple(row for row in rows for _ in range(shape.genes_per_step))))
            _require_finite(latents, f"the latents are not finite when everything is reused at step {step + 1}")
            local = float(changes[:, step * (step + 1) // 2 - 1].sum())
            gains[step] = float((latents - uncached).double().square().sum()) / local if local > 0 else 0.0
    pairs = torch.arange(shape.steps).repeat_interleave(torch.arange(shape.steps))
    progress(total, total)
    return (changes * gains[pairs]).float()


def _require_finite(latents: torch.Tensor, reason: str) -> None:
    if not torch.isfinite(latents).all():
        raise WorkerError(reason)


class _Trajectory:
    """Observes the transformer until the stack unwinds: records the first run of the pipeline, later replays its first steps."""

    def __init__(self, pipeline: Any, shape: Shape, advance: Callable[[], None], stack: contextlib.ExitStack):
        self._transformer = pipeline.transformer
        self._shape = shape
        self._advance = advance
        self._blocks = [*self._transformer.transformer_blocks, *getattr(self._transformer, "single_transformer_blocks", ())]
        self._predictions: list[Any] = []
        self._replayed: int | None = None
        """Steps whose predictions are taken from the first run; None in that run."""
        self._step = 0
        self._text_tokens = 0
        self._timestep: torch.Tensor | None = None
        """PixArt's modulation of all blocks, `[B, 6 D]`."""
        self._gates: list[list[torch.Tensor]] = [[] for _ in self._blocks]
        """FLUX's gates `[B, D]` of each block at the current step."""
        self._sketches: list[list[Contributions]] = [[] for _ in range(shape.genes_per_step)]
        """Of each chain and step, with projections in place of outputs, on the CPU."""
        # Schedules applied later intercept this method in turn.
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

    def replay(self, steps: int) -> None:
        """Makes the next run begin with the first run's predictions, whose components then do not run, and compute from step `steps` onward."""
        self._step, self._replayed = 0, steps
        self._sketches = []

    def changes(self) -> torch.Tensor:
        """The squared changes of the recorded run, float64 `[chains, pairs]`, weighted by the gates of the later step."""
        device = next(self._transformer.parameters()).device
        return torch.stack([_changes(steps, device) for steps in self._sketches])

    def _forward(self, *arguments: Any, **options: Any) -> Any:
        if self._step == self._shape.steps:
            raise WorkerError("the pipeline calls the transformer more than once per step, as with true_cfg_scale; expected one call")
        step, self._step = self._step, self._step + 1
        if self._replayed is not None and step < self._replayed:
            return self._predictions[step]
        self._advance()
        if self._replayed is None and self._shape.flux:
            self._text_tokens = options["encoder_hidden_states"].shape[1]
        prediction = self._original(*arguments, **options)
        if self._replayed is None:
            self._predictions.append(prediction)
        return prediction

    def _record_modulation(self, module: Any, inputs: Any, output: Any) -> None:
        self._timestep = output[0]

    def _record_gates(self, block: int, is_first: bool, indices: tuple[int, ...], module: Any, inputs: Any, output: Any) -> None:
        if is_first:
            self._gates[block] = []
        self._gates[block] += [output[index] for index in indices]

    def _record(self, chain: int, module: Any, inputs: Any, output: Any) -> None:
        if self._replayed is None:
            parts = self._contributions(chain, output)
            first = chain << 8
            projected = [_project(part.float(), range(first + index, first + len(part) * len(parts), len(parts))) for index, (part, _) in enumerate(parts)]
            self._sketches[chain].append([(values.cpu(), gains.cpu()) for values, (_, gains) in zip(projected, parts)])

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


def _changes(steps: list[Contributions], device: torch.device) -> torch.Tensor:
    """The squared changes of one chain, float64 `[pairs]`."""
    total = torch.zeros(len(steps) * (len(steps) - 1) // 2, dtype=torch.float64)
    for parts in zip(*steps):
        outputs = torch.stack([output for output, _ in parts]).to(device)  # [steps, B, N, C]
        for step in range(1, len(steps)):
            weighted = (outputs[step] - outputs[:step]).square() * parts[step][1].to(device)[:, None]
            total[step * (step - 1) // 2 :][:step] += weighted.sum(-1).cpu().double().sum((1, 2))
    return total


def _project(output: torch.Tensor, seeds: range) -> torch.Tensor:
    """Sums over the tokens with random signs, the same at every step, `[B, PROJECTIONS, C]`; or the tokens themselves if they are few.

    Squared differences of sums have the right expectation (Johnson and Lindenstrauss 1984). Every chain and row has signs of its own.
    """
    tokens = output.shape[1]
    if tokens <= PROJECTIONS:
        return output.clone()
    return torch.stack([_signs(tokens, seed).to(output.device) @ row for seed, row in zip(seeds, output)])


@functools.cache
def _signs(tokens: int, seed: int) -> torch.Tensor:
    """Signs times `PROJECTIONS ** -0.5`, `[PROJECTIONS, tokens]`: those of the native engine, which draws them with SplitMix64."""
    mask = 2**64 - 1
    signs = torch.empty(tokens, PROJECTIONS)
    for token in range(tokens):
        word = seed + (token + 1) * 0x9E3779B97F4A7C15 & mask
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ word >> 27) * 0x94D049BB133111EB & mask
        word ^= word >> 31
        signs[token] = torch.tensor([1.0 if word >> bit & 1 else -1.0 for bit in range(PROJECTIONS)])
    return signs.T * float(PROJECTIONS**-0.5)
