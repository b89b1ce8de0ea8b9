"""Caching schedules as values: shapes, decisions and the plan of what is computed, kept and reused."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib

STEP_LIMIT = 1000
BLOCK_LIMIT = 1000


class ScheduleError(ValueError):
    """A schedule or its file is invalid, or does not fit a pipeline; the text is one line."""


class BlockKind(enum.Enum):
    """A kind of transformer block; its value names the components in published order."""

    PIXART = ("attn1", "attn2", "ff")
    FLUX_DOUBLE = ("full_attn", "full_ff", "full_ff_context")
    FLUX_SINGLE = ("single_attn", "single_proj_mlp", "single_proj_out")

    @property
    def components(self) -> tuple[str, str, str]:
        return self.value


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a schedule decides about: blocks over denoising steps. `singles` are FLUX's single-stream blocks."""

    flux: bool
    blocks: int
    singles: int
    steps: int

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or not 1 <= self.steps <= STEP_LIMIT:
            raise ScheduleError(f"steps is {self.steps!r}; expected an integer from 1 to {STEP_LIMIT}")

    @property
    def kinds(self) -> list[BlockKind]:
        """The kind of every block, in published order: double-stream before single-stream."""
        first = BlockKind.FLUX_DOUBLE if self.flux else BlockKind.PIXART
        return [first] * self.blocks + [BlockKind.FLUX_SINGLE] * self.singles

    @property
    def keys(self) -> list[str]:
        """The name of every block in published files."""
        return [str(block) for block in range(self.blocks)] + [f"single_{block}" for block in range(self.singles)]

    @property
    def genes_per_step(self) -> int:
        return 3 * (self.blocks + self.singles)

    @property
    def genes(self) -> int:
        return self.steps * self.genes_per_step

    @property
    def family(self) -> str:
        return "FLUX" if self.flux else "PixArt"

    def __str__(self) -> str:
        blocks = f"{self.blocks} + {self.singles}" if self.flux else f"{self.blocks}"
        return f"{blocks} {self.family} blocks x {self.steps} steps"


class Action(enum.Enum):
    """What a component does at one step."""

    COMPUTE = "compute"
    """Compute; no later step needs the output."""
    KEEP = "keep"
    """Compute, and keep the output for later steps."""
    REUSE = "reuse"
    """Use the kept output, which a later step uses again."""
    REUSE_LAST = "reuse-last"
    """Use the kept output for the last time."""
    SKIP = "skip"
    """Nothing consumes the output, now or later."""

    @property
    def computes(self) -> bool:
        return self in (Action.COMPUTE, Action.KEEP)

    @property
    def reuses(self) -> bool:
        return self in (Action.REUSE, Action.REUSE_LAST)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """For every step, block and component whether to recompute its output (true) or to reuse an earlier one (false).

    `bits` are in published order, gene `(step * blocks + block) * 3 + component`. `gate_step` is the first step that a TGATE schedule
    (arXiv 2404.02747) runs without guidance and with frozen cross-attention; at least 1, None for all other schedules.
    """

    shape: Shape
    bits: tuple[bool, ...] = dataclasses.field(repr=False)
    gate_step: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.bits) != self.shape.genes:
            raise ScheduleError(f"the schedule has {len(self.bits)} genes; expected {self.shape.genes} for {self.shape}")
        # Any other object has a truth value as well: the string "0" would recompute.
        invalid = next((gene for gene, bit in enumerate(self.bits) if bit not in (False, True)), None)
        if invalid is not None:
            raise ScheduleError(f"gene {invalid} of the schedule is {self.bits[invalid]!r}; expected True or False")
        object.__setattr__(self, "bits", tuple(map(bool, self.bits)))
        if self.gate_step is not None and not 1 <= self.gate_step <= STEP_LIMIT:
            raise ScheduleError(f"gate step is {self.gate_step}; expected 1 to {STEP_LIMIT}")
        if self.gate_step is not None and self.shape.flux:
            raise ScheduleError("the schedule has a TGATE gate step; expected none for FLUX, which has no guidance halves")

    def __str__(self) -> str:
        gate = "" if self.gate_step is None else f", TGATE at step {self.gate_step}"
        return f"{self.name or 'schedule'}: {self.shape}, recomputes {sum(self.effective)} of {self.total} component outputs{gate}"

    @property
    def steps(self) -> int:
        """Number of denoising steps (`num_inference_steps`)."""
        return self.shape.steps

    @property
    def genome_sha256(self) -> str:
        """SHA-256 of the decisions as the characters 0 and 1, as `ecad schedule info` prints it."""
        return hashlib.sha256("".join("01"[bit] for bit in self.bits).encode()).hexdigest()

    @property
    def effective_gate(self) -> int | None:
        """The gate step, None also for one at or after the end."""
        return self.gate_step if self.gate_step is not None and self.gate_step < self.steps else None

    @functools.cached_property
    def effective(self) -> tuple[bool, ...]:
        """The decisions as they run: step 0 computes everything, TGATE's frozen cross-attention is reused."""
        row = self.shape.genes_per_step
        bits = [True] * row + list(self.bits[row:])
        if self.effective_gate is not None:
            for gene in range(self.effective_gate * row + 1, len(bits), 3):
                bits[gene] = False
        return tuple(bits)

    @functools.cached_property
    def plan(self) -> tuple[tuple[Action, ...], ...]:
        """What every component does, `plan[step][3 * block + component]`.

        FLUX attention and MLPs that only a reused `single_proj_out` would consume are not computed; nothing is kept that no later
        step reads. Raises ScheduleError for a TGATE schedule that reuses self-attention or feed-forward across its gate, where
        the batch changes.
        """
        row, steps, bits = self.shape.genes_per_step, self.steps, self.effective
        actions = [[Action.SKIP] * row for _ in range(steps)]
        kinds = self.shape.kinds
        for index in range(row):
            block, component = divmod(index, 3)
            feeds_projection = kinds[block] is BlockKind.FLUX_SINGLE and component < 2
            needed_later = False
            for step in reversed(range(steps)):
                consumed = not feeds_projection or bits[step * row + 3 * block + 2]
                if self.effective_gate == step + 1 and needed_later and component != 1:
                    raise ScheduleError(
                        f"the TGATE schedule reuses {kinds[block].components[component]} of block {block} at its gate step "
                        f"{step + 1}; expected it to recompute there"
                    )
                if bits[step * row + index]:
                    if needed_later:
                        actions[step][index] = Action.KEEP
                    elif consumed:
                        actions[step][index] = Action.COMPUTE
                    needed_later = False
                elif consumed:
                    actions[step][index] = Action.REUSE if needed_later else Action.REUSE_LAST
                    needed_later = True
        return tuple(tuple(actions_of_step) for actions_of_step in actions)

    @property
    def computed(self) -> int:
        """Number of component computations in one denoising run."""
        return sum(action.computes for actions in self.plan for action in actions)

    @property
    def total(self) -> int:
        """Number of component computations without caching."""
        return self.shape.genes

    @staticmethod
    def uncached(shape: Shape) -> Schedule:
        """The schedule that recomputes everything."""
        return Schedule(shape, (True,) * shape.genes, name="default")

    @staticmethod
    def fora(shape: Shape, interval: int) -> Schedule:
        """FORA (arXiv 2407.01425): everything is recomputed at steps divisible by the interval."""
        if not isinstance(interval, int) or interval < 1:
            raise ScheduleError(f"interval is {interval!r}; expected an integer of at least 1")
        bits = tuple(step % interval == 0 for step in range(shape.steps) for _ in range(shape.genes_per_step))
        return Schedule(shape, bits, name=f"recompute_all_every_{interval:03}")
