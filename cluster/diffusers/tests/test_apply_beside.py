"""`apply_schedule` beside what else changes a pipeline: compilation, offloading, other caches, hooks, LoRA."""

from __future__ import annotations

from typing import Any

import conftest
import pytest
import torch
from test_apply import ALPHA, FAMILIES, FLUX, STEPS, run

from ecad_diffusers import Schedule, ScheduleError, apply_schedule


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


def scheduled(model: Any, seed: int) -> tuple[Any, Any, torch.Tensor]:
    """A new pipeline, a random schedule, and its latents under it."""
    pipeline = fresh(model)
    schedule = conftest.random_schedule(pipeline, STEPS, seed)
    with apply_schedule(pipeline, schedule):
        return pipeline, schedule, run(pipeline)


@FAMILIES
def test_offloading_before_and_within_the_block(model: Any) -> None:
    """Offloading of whole models sets the transformer's forward method anew after every call of the pipeline."""
    pytest.importorskip("accelerate")
    pipeline, schedule, expected = scheduled(model, 12)
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
    pipeline, schedule, expected = scheduled(model, 12)
    cpu = torch.device("cpu")
    pipeline.transformer.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="block_level", num_blocks_per_group=1)
    expect_equal_calls(pipeline, schedule, expected)


@FAMILIES
def test_moving_a_pipeline_within_the_block(model: Any) -> None:
    pipeline, schedule, expected = scheduled(model, 13)
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
