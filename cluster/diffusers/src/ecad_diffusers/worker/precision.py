"""More precise arithmetic for a transformer in half precision, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import Any

import torch

from ..apply import _components


@contextlib.contextmanager
def float32_weights(transformer: Any) -> Iterator[None]:
    """Computes everything in float32, with the weights as they are rounded; needs twice their memory."""
    converted: list[tuple[torch.Tensor, torch.dtype]] = []
    try:
        for tensor in [*transformer.parameters(), *transformer.buffers()]:
            if tensor.is_floating_point() and tensor.dtype != torch.float32:
                dtype = tensor.dtype
                tensor.data = tensor.data.float()
                converted.append((tensor, dtype))
        yield
    finally:
        for tensor, dtype in converted:
            tensor.data = tensor.data.to(dtype)


@contextlib.contextmanager
def float32_stream(transformer: Any) -> Iterator[None]:
    """Computes in float32 what stands between the components: embeddings, norms, gates, sums and the output, and with that the latents.

    Attention, feed-forward and FLUX's modulation keep their weights and precision. Copies of the small modules before and behind the blocks take
    some memory.
    """
    dtype = next(_components(transformer)[0].parameters()).dtype
    with contextlib.ExitStack() as stack:

        def cast_inputs(module: torch.nn.Module, to: torch.dtype) -> None:
            stack.callback(module.register_forward_pre_hook(functools.partial(_cast_inputs, to), with_kwargs=True).remove)

        for name, module in list(transformer.named_children()):
            if not isinstance(module, torch.nn.ModuleList):
                stack.callback(transformer._modules.__setitem__, name, module)
                transformer._modules[name] = copy.deepcopy(module).float()
                cast_inputs(transformer._modules[name], torch.float32)
        for component in _components(transformer):
            cast_inputs(component, dtype)
            stack.callback(component.register_forward_hook(_widen_output).remove)
        for block in [*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", ())]:
            for norm in block.children():
                if isinstance(linear := getattr(norm, "linear", None), torch.nn.Linear):
                    cast_inputs(linear, dtype)
        yield


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value


def _cast_inputs(dtype: torch.dtype, module: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(_cast(value, dtype) for value in arguments), {name: _cast(value, dtype) for name, value in options.items()}


def _widen_output(module: Any, arguments: tuple[Any, ...], output: Any) -> Any:
    return tuple(_cast(part, torch.float32) for part in output) if isinstance(output, tuple) else _cast(output, torch.float32)
