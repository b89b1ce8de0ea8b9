"""Applies a caching schedule to a diffusers pipeline."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .schedule import Action, Schedule, ScheduleError, Shape

PIPELINES = ("PixArtAlphaPipeline", "PixArtSigmaPipeline", "FluxPipeline")

# Attributes of the modules whose outputs are cached, in the order of BlockKind.components.
_PIXART = ("attn1", "attn2", "ff")
_FLUX_DOUBLE = ("attn", "ff", "ff_context")
_FLUX_SINGLE = ("attn", "proj_mlp", "proj_out")

Output = torch.Tensor | tuple[torch.Tensor, ...]


@dataclasses.dataclass
class Statistics:
    """Counts over all pipeline calls since the schedule was applied.

    FLUX with `true_cfg_scale` above 1 calls the transformer twice per step, and both calls count.
    """

    runs: int = 0
    """Pipeline calls begun."""
    steps: int = 0
    """Denoising steps finished."""
    recomputed: int = 0
    """Component outputs computed."""
    reused: int = 0
    """Component outputs taken from an earlier step."""
    skipped: int = 0
    """Components that neither ran nor were needed: FLUX attention and MLPs before a reused projection."""
    bytes_kept: int = 0
    """Memory of the outputs kept at present."""
    peak_bytes_kept: int = 0
    """Most memory of kept outputs at any time."""


class AppliedSchedule:
    """A schedule in effect on a pipeline; `statistics` stay readable after the `with` block."""

    def __init__(self, pipeline: Any, schedule: Schedule):
        self.schedule = schedule
        self._statistics = Statistics()
        self._plan = schedule.plan
        self._gate = schedule.effective_gate
        self._pipeline = pipeline
        self._transformer: torch.nn.Module = pipeline.transformer
        self._base = _without_peft(pipeline.transformer)
        self._components = _components(self._base)
        self._signature = inspect.signature(type(self._base).forward)
        self._scheduler = pipeline.scheduler
        self._active = True
        # State of the current denoising run; `_step` is None outside one.
        self._step: int | None = None
        self._calls = 0
        self._batch = 0
        self._in_forward = False
        self._ran: set[int] = set()
        # Kept outputs of each transformer call of a step.
        self._kept: list[dict[int, Output]] = []

    @property
    def statistics(self) -> Statistics:
        """The counts so far; later calls of the pipeline do not change the result."""
        return dataclasses.replace(self._statistics)

    # Pipelines call scheduler.set_timesteps once, then the transformer and scheduler.step in turn.

    def _begin(self, original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self._reset()
        result = original(*arguments, **options)
        if self._pipeline.transformer is not self._transformer:
            raise ScheduleError("pipeline.transformer was replaced while a schedule is applied; expected the one it was applied to")
        _check_modules(self._base)
        if _components(self._base) != self._components:
            raise ScheduleError("a module of the transformer was replaced while a schedule is applied; expected LoRA weights to be loaded before or after that")
        steps = len(self._scheduler.timesteps)
        if steps != self.schedule.steps:
            raise ScheduleError(f"the schedule has {self.schedule.steps} steps, this call {steps}; expected num_inference_steps={self.schedule.steps}")
        self._step = 0
        self._statistics.runs += 1
        return result

    def _advance(self, original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if self._step is not None and self._gate is not None:
            sample = arguments[2] if len(arguments) > 2 else options["sample"]
            if self._batch != 2 * sample.shape[0]:
                self._reset()
                raise _no_guidance()
        result = original(*arguments, **options)
        if self._step is not None:
            self._step += 1
            self._calls = 0
            self._statistics.steps += 1
            if self._step == self.schedule.steps:
                self._kept.clear()
        return result

    # Hooks of the transformer, since offloading sets its forward method anew after every call of the pipeline.

    def _enter(self, module: torch.nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._pipeline.scheduler is not self._scheduler:
            raise ScheduleError("pipeline.scheduler was replaced while a schedule is applied; expected the one it was applied to")
        if self._step is None or self._step >= self.schedule.steps:
            raise ScheduleError("the transformer was called outside a pipeline call; expected it only from the pipeline while a schedule is applied")
        if self._calls == len(self._kept):
            if self._step > 0:
                raise ScheduleError(f"step {self._step} calls the transformer more often than step 0; expected the same guidance at every step")
            if self._calls == (2 if self.schedule.shape.flux else 1):
                raise ScheduleError(f"step 0 calls the transformer more than {self._calls} times; expected the sampler's step method after that")
            self._kept.append({})
        self._ran.clear()
        self._in_forward = True
        call = self._signature.bind(self._base, *arguments, **options).arguments
        call.pop("self")
        self._batch = call["hidden_states"].shape[0]
        if self._gate is None or self._step < self._gate:
            return None
        # Behind the gate, only the negative half runs.
        return (), {name: self._first_half(value) for name, value in call.items()}

    def _leave(self, module: torch.nn.Module, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> Any:
        """Runs after the transformer; without an output if it or `_enter` raised an exception."""
        if output is None:
            self._reset()
            return None
        missing = len(self._components) - len(self._ran)
        if missing:
            self._reset()
            raise ScheduleError(
                f"{missing} of {len(self._components)} components did not run under the schedule; expected blocks that run each of theirs, "
                "and no hooks or forward methods of components set within the `with` block"
            )
        self._in_forward = False
        self._calls += 1
        if self._gate is None or self._step is None or self._step < self._gate:
            return None
        # The output of the negative half stands for both, so that guidance has no effect.
        both = torch.cat([output[0], output[0]])
        return (both,) if isinstance(output, tuple) else type(output)(sample=both)

    def _first_half(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._first_half(member) for name, member in value.items()}
        return value[: self._batch // 2] if torch.is_tensor(value) and value.ndim > 0 and value.shape[0] == self._batch else value

    def _component(self, index: int, original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Computes, keeps or reuses the output of a component, counted within a step as in `Schedule.plan`."""
        if not self._in_forward or self._step is None:
            return original(*arguments, **options)
        if index in self._ran:
            raise ScheduleError("a component ran twice in one transformer call; expected no chunked feed-forward and no gradient checkpointing")
        self._ran.add(index)
        action = self._plan[self._step][index]
        kept = self._kept[self._calls]
        if action is Action.SKIP:
            # Its only consumer concatenates it into the input of a projection that does not run: no channels will do.
            self._statistics.skipped += 1
            value = arguments[0] if arguments else options["hidden_states"]
            return value[..., :0]
        if action.computes:
            self._statistics.recomputed += 1
            try:
                output: Output = original(*arguments, **options)
            except BaseException:  # After a KeyboardInterrupt, no hook runs.
                self._reset()
                raise
        else:
            self._statistics.reused += 1
            output = kept[index] if action is Action.REUSE else self._release(kept, index)
        if action in (Action.KEEP, Action.REUSE):
            closing = self._gate is not None and self._step + 1 == self._gate
            if closing:
                self._keep(kept, index, _mean_of_halves(output))
            elif action is Action.KEEP:
                self._keep(kept, index, output)
        return output

    def _keep(self, kept: dict[int, Output], index: int, output: Output) -> None:
        if index in kept:
            self._release(kept, index)
        kept[index] = _compact(output)
        statistics = self._statistics
        statistics.bytes_kept += _bytes(kept[index])
        statistics.peak_bytes_kept = max(statistics.peak_bytes_kept, statistics.bytes_kept)

    def _release(self, kept: dict[int, Output], index: int) -> Output:
        output = kept.pop(index)
        self._statistics.bytes_kept -= _bytes(output)
        return output

    def _reset(self) -> None:
        """Forgets the current denoising run and all that it kept."""
        self._step = None
        self._calls = 0
        self._in_forward = False
        self._kept.clear()
        self._statistics.bytes_kept = 0

    def _close(self) -> None:
        self._reset()
        self._active = False


class _Context(contextlib.AbstractContextManager[AppliedSchedule]):
    """What `apply_schedule` returns: it takes effect in a `with` statement only, and warns if there was none."""

    def __init__(self, manager: contextlib.AbstractContextManager[AppliedSchedule]):
        self._manager = manager
        self._entered = False

    def __enter__(self) -> AppliedSchedule:
        self._entered = True
        return self._manager.__enter__()

    def __exit__(self, *exception: Any) -> bool | None:
        return self._manager.__exit__(*exception)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name}: the schedule is not applied; expected `with apply_schedule(pipeline, schedule) as applied:`", name=name, obj=self)

    def __del__(self) -> None:
        if not self._entered:
            warnings.warn("apply_schedule has no effect without `with`; expected `with apply_schedule(pipeline, schedule):` around the pipeline's calls", RuntimeWarning, stacklevel=2)


def apply_schedule(pipeline: Any, schedule: Schedule) -> contextlib.AbstractContextManager[AppliedSchedule]:
    """Runs a PixArt-alpha, PixArt-Sigma or FLUX pipeline under a caching schedule within a `with` block.

    The pipeline may be called any number of times with any prompts, batch and image sizes, but with the schedule's number of steps.
    Raises ScheduleError for a pipeline or a transformer that the schedule does not fit, for a compiled transformer, and if a schedule
    is already applied; pipeline calls raise it for another number of steps and for TGATE without guidance.
    """
    return _Context(_apply(pipeline, schedule))


@contextlib.contextmanager
def _apply(pipeline: Any, schedule: Schedule) -> Iterator[AppliedSchedule]:
    _check(pipeline, schedule)
    applied = AppliedSchedule(pipeline, schedule)
    transformer, scheduler = pipeline.transformer, pipeline.scheduler
    with contextlib.ExitStack() as stack:
        stack.callback(applied._close)
        for owner in (applied._base, scheduler):
            _replace(stack, owner, "_ecad_schedule", applied)
        _intercept(stack, applied, scheduler, "set_timesteps", applied._begin)
        _intercept(stack, applied, scheduler, "step", applied._advance)
        stack.callback(transformer.register_forward_pre_hook(applied._enter, with_kwargs=True).remove)
        stack.callback(transformer.register_forward_hook(applied._leave, with_kwargs=True, always_call=True).remove)
        for index, component in enumerate(applied._components):
            _intercept(stack, applied, component, "forward", functools.partial(applied._component, index))
        yield applied


def transformer_shape(pipeline: Any, steps: int) -> Shape:
    """The shape of schedules for a pipeline's transformer."""
    name = next((base.__name__ for base in type(pipeline).__mro__ if base.__name__ in PIPELINES), None)
    if name is None:
        raise ScheduleError(f"the pipeline is a {type(pipeline).__name__}; expected {', '.join(PIPELINES[:-1])} or {PIPELINES[-1]}")
    transformer = _without_peft(pipeline.transformer)
    if type(transformer).__name__ == "OptimizedModule":
        raise _compiled("the transformer")
    expected = "FluxTransformer2DModel" if name == "FluxPipeline" else "PixArtTransformer2DModel"
    if type(transformer).__name__ != expected:
        raise ScheduleError(f"the pipeline's transformer is a {type(transformer).__name__}; expected {expected}")
    return shape_of(transformer, steps)


def shape_of(transformer: Any, steps: int) -> Shape:
    """The shape of schedules for a transformer of diffusers."""
    flux = type(transformer).__name__ == "FluxTransformer2DModel"
    return Shape(flux, len(transformer.transformer_blocks), len(transformer.single_transformer_blocks) if flux else 0, steps)


def check_shape(schedule: Schedule, shape: Shape) -> None:
    """Raises ScheduleError unless the schedule is for a transformer of this shape, which has the schedule's number of steps."""
    if shape.flux != schedule.shape.flux:
        raise ScheduleError(f"the schedule is for {schedule.shape.family}; expected one for {shape.family}, the pipeline's model")
    if shape != schedule.shape:
        raise ScheduleError(f"the schedule is for {schedule.shape}; expected one for {shape}, as the pipeline's transformer has them")


def _without_peft(transformer: Any) -> Any:
    """The model in a `PeftModel`, in which LoRA layers replace some of its own."""
    return transformer.get_base_model() if type(transformer).__name__ == "PeftModel" else transformer


def _check(pipeline: Any, schedule: Schedule) -> None:
    if not isinstance(schedule, Schedule):
        raise ScheduleError(f"the schedule is a {type(schedule).__name__}; expected a Schedule, such as load_schedule(FILE) returns")
    check_shape(schedule, transformer_shape(pipeline, schedule.steps))
    transformer = _without_peft(pipeline.transformer)
    for owner in (transformer, pipeline.scheduler):
        if getattr(owner, "_ecad_schedule", None) is not None:
            raise ScheduleError("a schedule is already applied to this transformer or scheduler; expected one `with` block at a time")
    _check_modules(transformer)


def _check_modules(transformer: torch.nn.Module) -> None:
    """Raises ScheduleError for a transformer whose calls do not run each of its components as a module of its own."""
    blocks = [*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", ())]  # type: ignore[misc]
    for module in [transformer, *blocks]:
        if _is_compiled(module) or hasattr(module.__dict__.get("forward"), "_torchdynamo_orig_callable"):
            raise _compiled(f"a {type(getattr(module, '_orig_mod', module)).__name__}")
    for component in _components(transformer):
        if _is_compiled(component):
            raise _compiled(f"a {type(getattr(component, '_orig_mod', component)).__name__}")
    if getattr(transformer, "is_cache_enabled", False):
        raise ScheduleError(f"the transformer has a {type(transformer._cache_config).__name__}; expected none, as two ways of caching exclude each other: call its disable_cache()")
    # Modules that accelerate offloads are on the meta device between their calls.
    if any(tensor.is_meta and not hasattr(module, "_hf_hook") for module in transformer.modules() for tensor in module.parameters(recurse=False)):
        raise ScheduleError("the transformer's weights are on the meta device; expected a model with its weights loaded")


def _is_compiled(module: torch.nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None


def _no_guidance() -> ScheduleError:
    return ScheduleError("a TGATE schedule needs classifier-free guidance; expected guidance_scale above 1")


def _compiled(what: str) -> ScheduleError:
    return ScheduleError(f"{what} is compiled, which would fix one step's decisions; expected at most the forward methods of components to be compiled")


def _components(transformer: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules that a schedule decides about, in published order."""
    singles = getattr(transformer, "single_transformer_blocks", None)
    first = _PIXART if singles is None else _FLUX_DOUBLE
    blocks: list[tuple[torch.nn.Module, tuple[str, ...]]] = [(block, first) for block in transformer.transformer_blocks]  # type: ignore[union-attr]
    blocks += [(block, _FLUX_SINGLE) for block in singles or ()]
    return [getattr(block, name) for block, names in blocks for name in names]


def _intercept(stack: contextlib.ExitStack, applied: AppliedSchedule, owner: Any, name: str, handler: Callable[..., Any]) -> None:
    """Passes calls of a method to `handler`, with the original as its first argument, until the stack unwinds."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(*arguments: Any, **options: Any) -> Any:
        # Others may have wrapped this function and keep it beyond the `with` block.
        if not applied._active:
            return original(*arguments, **options)
        return handler(original, *arguments, **options)

    _replace(stack, owner, name, method)


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    """Sets an attribute of the object itself until the stack unwinds, unless someone else sets it in the meantime."""
    missing = object()
    previous = owner.__dict__.get(name, missing)

    def restore() -> None:
        if owner.__dict__.get(name) is not value:
            return
        if previous is missing:
            del owner.__dict__[name]
        else:
            owner.__dict__[name] = previous

    owner.__dict__[name] = value
    stack.callback(restore)


def _tensors(output: Output) -> tuple[torch.Tensor, ...]:
    return (output,) if isinstance(output, torch.Tensor) else output


def _bytes(output: Output) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(output))


def _compact(output: Output) -> Output:
    """The output without the rest of a larger allocation of which it is a view."""
    tensors = tuple(
        tensor.clone() if tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size() else tensor for tensor in _tensors(output)
    )
    return tensors[0] if isinstance(output, torch.Tensor) else tensors


def _mean_of_halves(output: Output) -> Output:
    """The mean of both halves of the batch."""
    if any(tensor.shape[0] % 2 for tensor in _tensors(output)):
        raise _no_guidance()
    means = tuple((first + second) / 2 for first, second in (tensor.chunk(2) for tensor in _tensors(output)))
    return means[0] if isinstance(output, torch.Tensor) else means
