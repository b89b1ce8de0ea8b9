"""`apply_schedule`: calls of components, repeated calls, memory, and what it refuses."""

from __future__ import annotations

import collections
import itertools
import random
import warnings
from typing import Any

import conftest
import pytest
import torch
from diffusers import HeunDiscreteScheduler

from ecad_diffusers import Schedule, ScheduleError, Shape, apply_schedule, transformer_shape
from ecad_diffusers.apply import _components

STEPS = 6
ALPHA, SIGMA, FLUX = (conftest.FIXTURES / name / "model" for name in ("alpha-small", "sigma-small", "flux-small"))
FAMILIES = pytest.mark.parametrize("model", [ALPHA, SIGMA, FLUX], ids=lambda path: path.parent.name)


def run(pipeline: Any, prompts: list[str] | None = None, seed: int = 0, size: int | None = None, steps: int = STEPS, **options: Any) -> torch.Tensor:
    prompts = prompts or ["a red cube"]
    side = size or 64
    seeds = [seed + index for index in range(len(prompts))]
    return conftest.denoise(pipeline, prompts, seeds, steps, side, side, **{"guidance_scale": 3.0, "max_sequence_length": 16} | options)


def count_calls(pipeline: Any, calls: collections.Counter[int]) -> list[Any]:
    """Counts what the modules' own forward methods do, below the schedule."""

    def counted(index: int, forward: Any) -> Any:
        def method(*arguments: Any, **options: Any) -> Any:
            calls[index] += 1
            return forward(*arguments, **options)

        return method

    components = _components(pipeline.transformer)
    for index, component in enumerate(components):
        component.forward = counted(index, component.forward)  # type: ignore[method-assign]
    return components


@FAMILIES
def test_components_run_as_often_as_the_schedule_computes_them(model: Any) -> None:
    pipeline = conftest.load_pipeline(model)
    candidates = [conftest.random_schedule(pipeline, STEPS, seed, share) for seed, share in ((1, 0.5), (2, 0.15), (3, 0.9))]
    candidates += [Schedule.fora(candidates[0].shape, 2), Schedule.uncached(candidates[0].shape)]
    if not candidates[0].shape.flux:
        candidates += [conftest.tgate_schedule(pipeline, STEPS, 3, seed=4)]
    calls: collections.Counter[int] = collections.Counter()
    components = count_calls(pipeline, calls)
    try:
        for schedule in candidates:
            calls.clear()
            with apply_schedule(pipeline, schedule) as applied:
                run(pipeline)
            expected = [sum(schedule.plan[step][index].computes for step in range(STEPS)) for index in range(len(components))]
            assert [calls[index] for index in range(len(components))] == expected
            statistics = applied.statistics
            assert (statistics.runs, statistics.steps, statistics.recomputed) == (1, STEPS, schedule.computed)
            assert statistics.recomputed + statistics.reused + statistics.skipped == schedule.total
            assert statistics.bytes_kept == 0
    finally:
        for component in components:
            del component.__dict__["forward"]


@FAMILIES
def test_calls_in_any_order_give_the_same_latents(model: Any) -> None:
    pipeline = conftest.load_pipeline(model)
    schedules = {"random": conftest.random_schedule(pipeline, STEPS, 7), "fora": Schedule.fora(transformer_shape(pipeline, STEPS), 3), "none": None}
    inputs = [(["a red cube"], 0, 64), (["a fox", "a very long road at night"], 5, 64), (["a fox"], 2, 96)]
    alone = {}
    for (name, schedule), (number, (prompts, seed, size)) in itertools.product(schedules.items(), enumerate(inputs)):
        if schedule is None:
            alone[name, number] = run(pipeline, prompts, seed, size)
        else:
            with apply_schedule(pipeline, schedule):
                alone[name, number] = run(pipeline, prompts, seed, size)
    assert not torch.equal(alone["random", 0], alone["none", 0])
    draw = random.Random(0)
    for _ in range(3):
        for name, schedule in draw.sample(list(schedules.items()), len(schedules)):
            order = draw.sample(range(len(inputs)), len(inputs))
            if schedule is None:
                for number in order:
                    assert torch.equal(run(pipeline, *inputs[number]), alone[name, number])
                continue
            with apply_schedule(pipeline, schedule):
                for number in order:
                    assert torch.equal(run(pipeline, *inputs[number]), alone[name, number])


@FAMILIES
def test_an_exception_in_a_call_leaves_nothing_behind(model: Any) -> None:
    pipeline = conftest.load_pipeline(model)
    schedule = conftest.random_schedule(pipeline, STEPS, 11)
    with apply_schedule(pipeline, schedule):
        expected = run(pipeline)
    block = _components(pipeline.transformer)[-1]
    forward = block.forward
    calls = 0

    def fails_at_third(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("out of memory")
        return forward(*arguments, **options)

    block.__dict__["forward"] = fails_at_third
    try:
        with apply_schedule(pipeline, schedule) as applied:
            with pytest.raises(RuntimeError, match="out of memory"):
                run(pipeline)
            assert applied.statistics.bytes_kept == 0
            assert torch.equal(run(pipeline), expected)
    finally:
        del block.__dict__["forward"]

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    name = "callback_on_step_end" if schedule.shape.flux else "callback"
    with apply_schedule(pipeline, schedule):
        with pytest.raises(KeyboardInterrupt):
            run(pipeline, **{name: interrupt})
        assert torch.equal(run(pipeline), expected)
    with pytest.raises(ZeroDivisionError), apply_schedule(pipeline, schedule):
        raise ZeroDivisionError
    leftovers = [module for module in pipeline.transformer.modules() if "forward" in module.__dict__ or "_ecad_schedule" in module.__dict__]
    assert leftovers == []
    assert not {"step", "set_timesteps", "_ecad_schedule"} & set(pipeline.scheduler.__dict__)


def test_several_pipelines_and_nesting() -> None:
    alpha, flux = conftest.load_pipeline(ALPHA), conftest.load_pipeline(FLUX)
    schedules = [conftest.random_schedule(pipeline, STEPS, 3) for pipeline in (alpha, flux)]
    with apply_schedule(alpha, schedules[0]):
        first = run(alpha)
    with apply_schedule(flux, schedules[1]):
        second = run(flux)
    with apply_schedule(alpha, schedules[0]), apply_schedule(flux, schedules[1]):
        assert torch.equal(run(alpha), first)
        assert torch.equal(run(flux), second)
        with pytest.raises(ScheduleError, match="already applied"), apply_schedule(alpha, schedules[0]):
            pass
        assert torch.equal(run(alpha), first)


def test_both_calls_of_true_guidance_have_caches_of_their_own() -> None:
    pipeline = conftest.load_pipeline(FLUX)
    schedule = conftest.random_schedule(pipeline, STEPS, 5)
    options = {"true_cfg_scale": 1.0001, "negative_prompt": "a blue sphere"}
    with apply_schedule(pipeline, schedule) as applied:
        single = run(pipeline)
        assert applied.statistics.recomputed == schedule.computed
        both = run(pipeline, **options)
        assert applied.statistics.recomputed == 3 * schedule.computed
    # Almost no guidance: the positive half must not have seen the other one's outputs.
    assert conftest.relative_error(both, single) < 1e-2


@FAMILIES
def test_only_outputs_that_a_later_step_reuses_are_kept(model: Any) -> None:
    pipeline = conftest.load_pipeline(model)
    shape = transformer_shape(pipeline, STEPS)
    with apply_schedule(pipeline, Schedule.uncached(shape)) as applied:
        run(pipeline)
    assert applied.statistics.peak_bytes_kept == 0
    # One component is reused at one step.
    index = shape.genes_per_step - 1
    bits = [True] * shape.genes
    bits[2 * shape.genes_per_step + index] = False
    sizes: list[int] = []

    def after(_: Any, __: Any, output: torch.Tensor) -> None:
        sizes.append(output.numel() * output.element_size())

    handle = _components(pipeline.transformer)[index].register_forward_hook(after)
    try:
        with apply_schedule(pipeline, Schedule(shape, tuple(bits))) as applied:
            run(pipeline)
    finally:
        handle.remove()
    assert applied.statistics.peak_bytes_kept == sizes[0] > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@FAMILIES
def test_half_precision(model: Any, dtype: torch.dtype) -> None:
    pipeline = conftest.pipelines.load_pipeline(model, dtype, torch.device("cpu"))
    exact = conftest.load_pipeline(model)
    schedule = conftest.random_schedule(exact, STEPS, 9)
    rounding = conftest.relative_error(run(pipeline).float(), run(exact))
    with apply_schedule(exact, schedule):
        expected = run(exact)
    with apply_schedule(pipeline, schedule) as applied:
        found = run(pipeline)
    assert found.dtype == dtype
    assert applied.statistics.recomputed == schedule.computed
    # The schedule adds no more than what rounding does to the uncached model.
    assert conftest.relative_error(found.float(), expected) < 3 * rounding


def test_refusals() -> None:
    alpha, flux = conftest.load_pipeline(ALPHA), conftest.load_pipeline(FLUX)
    shape = transformer_shape(alpha, STEPS)
    schedule = conftest.random_schedule(alpha, STEPS, 1)

    def refuses(message: str, pipeline: Any, refused: Schedule) -> None:
        with pytest.raises(ScheduleError, match=message), apply_schedule(pipeline, refused):
            pass

    refuses("is for FLUX; expected one for PixArt", alpha, conftest.random_schedule(flux, STEPS, 1))
    refuses("is for PixArt; expected one for FLUX", flux, schedule)
    refuses(f"{shape.blocks + 1} PixArt blocks", alpha, Schedule.uncached(Shape(False, shape.blocks + 1, 0, STEPS)))
    refuses("the pipeline is a SimpleNamespace", type("SimpleNamespace", (), {})(), schedule)
    for other in ("fast.json", alpha, None):
        refuses(f"the schedule is a {type(other).__name__}; expected a Schedule, such as load_schedule", alpha, other)  # type: ignore[arg-type]
    with apply_schedule(alpha, schedule):
        with pytest.raises(ScheduleError, match=f"expected num_inference_steps={STEPS}"):
            run(alpha, steps=STEPS + 1)
        run(alpha)
        with pytest.raises(ScheduleError, match="outside a pipeline call"):
            alpha.transformer(torch.zeros(1))
    gated = conftest.tgate_schedule(alpha, STEPS, 3)
    for gate, prompts in ((1, ["a"]), (1, ["a", "b"]), (3, ["a"]), (3, ["a", "b"])):
        with apply_schedule(alpha, conftest.tgate_schedule(alpha, STEPS, gate)), pytest.raises(ScheduleError, match="expected guidance_scale above 1"):
            run(alpha, prompts, guidance_scale=1.0)
    bits = list(gated.bits)
    bits[3 * shape.genes_per_step] = False
    refuses("reuses attn1 of block 0 at its gate step 3", alpha, Schedule(shape, tuple(bits), 3))
    scheduler = alpha.scheduler
    try:
        with apply_schedule(alpha, schedule), pytest.raises(ScheduleError, match="scheduler was replaced"):
            alpha.scheduler = type(scheduler).from_config(scheduler.config)
            run(alpha)
        alpha.scheduler = HeunDiscreteScheduler.from_config(scheduler.config)
        with apply_schedule(alpha, schedule), pytest.raises(ScheduleError, match="this call 11"):
            run(alpha)
    finally:
        alpha.scheduler = scheduler


def test_without_a_with_statement_there_is_a_warning() -> None:
    pipeline = conftest.load_pipeline(ALPHA)
    schedule = conftest.random_schedule(pipeline, STEPS, 1)
    uncached = run(pipeline)
    with pytest.warns(RuntimeWarning, match="has no effect without `with`") as caught:
        apply_schedule(pipeline, schedule)
    assert caught[0].filename == __file__
    unused = apply_schedule(pipeline, schedule)
    with pytest.raises(AttributeError, match="statistics: the schedule is not applied; expected `with apply_schedule"):
        unused.statistics  # type: ignore[attr-defined]
    assert torch.equal(run(pipeline), uncached)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with unused as applied:
            assert not torch.equal(run(pipeline), uncached)
        del unused
    assert applied.statistics.runs == 1 and torch.equal(run(pipeline), uncached)


def test_statistics_are_those_of_the_moment() -> None:
    pipeline = conftest.load_pipeline(ALPHA)
    schedule = conftest.random_schedule(pipeline, STEPS, 1)
    with apply_schedule(pipeline, schedule) as applied:
        run(pipeline)
        before = applied.statistics
        run(pipeline)
    assert (before.runs, before.recomputed) == (1, schedule.computed)
    assert (applied.statistics.runs, applied.statistics.recomputed) == (2, 2 * schedule.computed)
