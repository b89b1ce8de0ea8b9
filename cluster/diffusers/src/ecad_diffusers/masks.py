"""Step masks: schedules for tools that decide about whole steps, not about components."""

from __future__ import annotations

import dataclasses
import json

from .schedule import Schedule, ScheduleError


@dataclasses.dataclass(frozen=True)
class StepMask:
    """For every step whether the model is computed (true), and how far that is from the schedule."""

    steps: tuple[bool, ...]
    recomputed_more: int
    """Component outputs that the schedule reuses and the mask recomputes."""
    reused_more: int
    """Component outputs that the schedule recomputes and the mask reuses."""
    genes: int
    drops_gate: bool
    """Whether a TGATE schedule loses the end of its guidance."""

    @property
    def exact(self) -> bool:
        return self.recomputed_more + self.reused_more == 0 and not self.drops_gate

    @property
    def loss(self) -> str:
        """What the mask does differently, in one line."""
        text = f"{self.recomputed_more + self.reused_more} of {self.genes} decisions differ: "
        text += f"{self.recomputed_more} outputs are recomputed instead of reused, {self.reused_more} reused instead of recomputed"
        return text + ("; guidance does not end at the TGATE gate" if self.drops_gate else "")


def step_mask(schedule: Schedule) -> StepMask:
    """The nearest step mask: a step is computed if the schedule recomputes at least half of its components; step 0 always is."""
    row, bits = schedule.shape.genes_per_step, schedule.effective
    counts = [sum(bits[step * row : (step + 1) * row]) for step in range(schedule.steps)]
    steps = tuple(2 * count >= row for count in counts)
    return StepMask(
        steps,
        recomputed_more=sum(row - count for computes, count in zip(steps, counts) if computes),
        reused_more=sum(count for computes, count in zip(steps, counts) if not computes),
        genes=schedule.shape.genes,
        drops_gate=schedule.effective_gate is not None,
    )


def cache_dit(mask: StepMask) -> str:
    """A configuration file of cache-dit (1.5), for `cache_dit.enable_cache(pipeline, **cache_dit.load_configs(FILE))`.

    The mask decides alone: no warm-up, no threshold. cache-dit always computes at least the first block.
    """
    config = {
        "cache_type": "DBCache",
        "Fn_compute_blocks": 1,
        "Bn_compute_blocks": 0,
        "max_warmup_steps": 0,
        "num_inference_steps": len(mask.steps),
        "steps_computation_mask": [int(computes) for computes in mask.steps],
        "steps_computation_policy": "static",
    }
    return json.dumps({"cache_config": config}, indent=2) + "\n"


def stable_diffusion_cpp(mask: StepMask) -> str:
    """Arguments of stable-diffusion.cpp's `sd-cli`, which runs FLUX; append `--steps` and the rest."""
    digits = ",".join(str(int(computes)) for computes in mask.steps)
    return f"--steps {len(mask.steps)} --cache-mode dbcache --cache-option Fn=1,Bn=0,warmup=0 --scm-mask {digits} --scm-policy static\n"


EXPORTERS = {"cache-dit": cache_dit, "stable-diffusion.cpp": stable_diffusion_cpp}


def export(schedule: Schedule, tool: str, nearest: bool) -> tuple[str, StepMask]:
    """The text for a tool, and the mask; without `nearest`, a schedule that is no step mask is an error."""
    mask = step_mask(schedule)
    if not mask.exact and not nearest:
        raise ScheduleError(f"the schedule is not the same for all components of each step; expected --nearest to accept a loss: {mask.loss}")
    if tool == "stable-diffusion.cpp" and not schedule.shape.flux:
        raise ScheduleError("stable-diffusion.cpp does not run PixArt; expected a FLUX schedule")
    return EXPORTERS[tool](mask), mask
