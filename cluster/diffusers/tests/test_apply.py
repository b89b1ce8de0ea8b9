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


def test_compiled_blocks_are_refused_and_compiled_components_run() -> None:
    pipeline = conftest.load_pipeline(ALPHA)
    schedule = conftest.random_schedule(pipeline, STEPS, 2)
    with apply_schedule(pipeline, schedule):
        expected = run(pipeline)
    transformer, block = pipeline.transformer, pipeline.transformer.transformer_blocks[0]

    def refuses() -> None:
        with pytest.raises(ScheduleError, match="is compiled"), apply_schedule(pipeline, schedule):
            run(pipeline)

    for module in (transformer, block, block.ff):
        module.compile(backend="eager")
        try:
            refuses()
        finally:
            module._compiled_call_impl = None
        with apply_schedule(pipeline, schedule), pytest.raises(ScheduleError, match="is compiled"):
            try:
                module.compile(backend="eager")
                run(pipeline)
            finally:
                module._compiled_call_impl = None
    for module in (transformer, block):
        module.forward = torch.compile(module.forward, backend="eager")
        try:
            refuses()
        finally:
            del module.__dict__["forward"]
    pipeline.transformer = torch.compile(transformer, backend="eager")
    try:
        refuses()
    finally:
        pipeline.transformer = transformer
    block.ff.forward = torch.compile(block.ff.forward, backend="eager")
    try:
        with apply_schedule(pipeline, schedule) as applied:
            assert torch.equal(run(pipeline), expected)
        assert applied.statistics.recomputed == schedule.computed
    finally:
        del block.ff.__dict__["forward"]


def fresh(model: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A pipeline of its own for a test that changes it."""
    return conftest.pipelines.load_pipeline(model, dtype, torch.device("cpu"))


def expect_equal_calls(pipeline: Any, schedule: Schedule, expected: torch.Tensor) -> None:
    """Every call of one `with` block runs under the schedule."""
    with apply_schedule(pipeline, schedule) as applied:
        for number in (1, 2, 3):
            assert torch.equal(run(pipeline), expected), number
            assert applied.statistics.recomputed == number * schedule.computed


@FAMILIES
def test_offloading_before_and_within_the_block(model: Any) -> None:
    """Offloading of whole models sets the transformer's forward method anew after every call of the pipeline."""
    pytest.importorskip("accelerate")
    pipeline = fresh(model)
    schedule = conftest.random_schedule(pipeline, STEPS, 12)
    with apply_schedule(pipeline, schedule):
        expected = run(pipeline)
    uncached = run(pipeline)
    assert not torch.equal(uncached, expected)
    pipeline.enable_model_cpu_offload(device="cpu")
    expect_equal_calls(pipeline, schedule, expected)
    assert torch.equal(run(pipeline), uncached)
    pipeline.remove_all_hooks()
    with apply_schedule(pipeline, schedule):
        pipeline.enable_model_cpu_offload(device="cpu")
        assert torch.equal(run(pipeline), expected)
        assert torch.equal(run(pipeline), expected)
    assert torch.equal(run(pipeline), uncached)
    pipeline = fresh(model)
    # accelerate cannot run it on the CPU itself; weights on the device "meta" are no reason to refuse it.
    pipeline.enable_sequential_cpu_offload(device="cpu")
    assert any(parameter.is_meta for parameter in pipeline.transformer.parameters())
    with apply_schedule(pipeline, schedule):
        pass


@FAMILIES
def test_group_offloading(model: Any) -> None:
    pipeline = fresh(model)
    schedule = conftest.random_schedule(pipeline, STEPS, 12)
    with apply_schedule(pipeline, schedule):
        expected = run(pipeline)
    cpu = torch.device("cpu")
    pipeline.transformer.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="block_level", num_blocks_per_group=1)
    expect_equal_calls(pipeline, schedule, expected)


@FAMILIES
def test_moving_a_pipeline_within_the_block(model: Any) -> None:
    pipeline = fresh(model)
    schedule = conftest.random_schedule(pipeline, STEPS, 13)
    with apply_schedule(pipeline, schedule):
        expected = run(pipeline)
    with apply_schedule(pipeline, schedule) as applied:
        pipeline.to(torch.bfloat16)
        assert run(pipeline).dtype == torch.bfloat16
        pipeline.to("cpu", torch.float32)
        assert conftest.relative_error(run(pipeline), expected) < 0.1, "weights rounded once"
        assert applied.statistics.recomputed == 2 * schedule.computed
        pipeline.transformer.to("meta")
        with pytest.raises(ScheduleError, match="on the meta device; expected a model with its weights loaded"):
            run(pipeline)
    with pytest.raises(ScheduleError, match="on the meta device"), apply_schedule(pipeline, schedule):
        pass


def test_other_caches_are_refused() -> None:
    """They decide at run time which blocks run."""
    from diffusers import FirstBlockCacheConfig

    pipeline = fresh(FLUX)
    schedule = conftest.random_schedule(pipeline, STEPS, 14)
    with apply_schedule(pipeline, schedule):
        expected = run(pipeline)
        pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
        with pytest.raises(ScheduleError, match=r"has a FirstBlockCacheConfig; .* call its disable_cache\(\)"):
            run(pipeline)
        pipeline.transformer.disable_cache()
        assert torch.equal(run(pipeline), expected)
    pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    with pytest.raises(ScheduleError, match="has a FirstBlockCacheConfig"), apply_schedule(pipeline, schedule):
        pass


def test_components_that_do_not_run_under_the_schedule_are_an_error() -> None:
    """Hooks that skip blocks, or set forward methods, would leave the schedule without effect."""
    pipeline = fresh(ALPHA)
    schedule = conftest.random_schedule(pipeline, STEPS, 15)
    block = pipeline.transformer.transformer_blocks[1]
    with apply_schedule(pipeline, schedule):
        block.forward = lambda hidden_states, *arguments, **options: hidden_states
        with pytest.raises(ScheduleError, match="3 of 6 components did not run under the schedule"):
            run(pipeline)
        del block.__dict__["forward"]
        intercepted = block.ff.__dict__.pop("forward")
        with pytest.raises(ScheduleError, match="1 of 6 components"):
            run(pipeline)
        block.ff.forward = intercepted
        run(pipeline)


def lora(peft: Any) -> Any:
    torch.manual_seed(0)
    return peft.LoraConfig(r=2, target_modules=["to_q", "to_v", "proj_mlp", "proj_out", "ff.net.2"], init_lora_weights=False)


@FAMILIES
def test_lora(model: Any) -> None:
    """Injected into the transformer, as by FLUX's `load_lora_weights`, or wrapped around it, as usual for PixArt."""
    peft = pytest.importorskip("peft")
    pipeline = fresh(model)
    schedule = conftest.random_schedule(pipeline, STEPS, 16)
    plain = run(pipeline)
    peft.inject_adapter_in_model(lora(peft), pipeline.transformer)
    uncached = run(pipeline)
    assert conftest.relative_error(uncached, plain) > 1e-3
    with apply_schedule(pipeline, Schedule.uncached(schedule.shape)):
        assert torch.equal(run(pipeline), uncached)
    with apply_schedule(pipeline, schedule):
        expected = run(pipeline)
    expect_equal_calls(pipeline, schedule, expected)
    other = fresh(model)
    with apply_schedule(other, schedule):
        peft.inject_adapter_in_model(lora(peft), other.transformer)
        if schedule.shape.flux:
            with pytest.raises(ScheduleError, match="was replaced .* expected LoRA weights to be loaded before or after"):
                run(other)
        else:
            assert torch.equal(run(other), expected)
    wrapped = fresh(model)
    base = wrapped.transformer
    wrapped.transformer = peft.get_peft_model(base, lora(peft))
    expect_equal_calls(wrapped, schedule, expected)
    with apply_schedule(wrapped, schedule):
        wrapped.transformer = base
        with pytest.raises(ScheduleError, match="pipeline.transformer was replaced"):
            run(wrapped)
