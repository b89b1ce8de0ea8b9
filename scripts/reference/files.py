"""Writes reference files: safetensors with the metadata of the format."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import pathlib

import torch

FORMAT = "ecad-reference/1"


@dataclasses.dataclass
class Reference:
    """The result of a case: metadata, tensors, and the libraries that computed them."""

    metadata: dict[str, object]
    tensors: dict[str, torch.Tensor]
    libraries: tuple[str, ...]


def write(path: pathlib.Path, case: str, reference: Reference) -> None:
    """Writes a reference file. Metadata values other than strings are encoded as JSON, tensors as float32 or int64."""
    metadata = {
        "format": FORMAT,
        "case": case,
        "source": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in reference.libraries),
    }
    for key, value in reference.metadata.items():
        metadata[key] = value if isinstance(value, str) else json.dumps(value)
    # Not written with safetensors.torch, whose metadata order differs on every run.
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    data = bytearray()
    for name, tensor in sorted(reference.tensors.items()):
        if not torch.isfinite(tensor).all():
            raise SystemExit(f"{path}: tensor {name} has values that are not finite")
        floating = tensor.is_floating_point()
        stored = tensor.detach().to(torch.float32 if floating else torch.int64).contiguous().numpy().tobytes()
        offsets = [len(data), len(data) + len(stored)]
        header[name] = {"dtype": "F32" if floating else "I64", "shape": list(tensor.shape), "data_offsets": offsets}
        data += stored
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)


def bfloat16_errors(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor], parts: dict[str, int] | None = None) -> dict[str, object]:
    """Metadata with the relative L2 errors of the libraries' own bfloat16, the bounds of `ecad verify --precision bfloat16`.

    `parts` names tensors whose error is that of the worst of several equal parts, such as steps.
    """
    errors = {}
    for name, tensor in found.items():
        count = (parts or {}).get(name, 1)
        pairs = zip(expected[name].double().reshape(count, -1), tensor.double().reshape(count, -1))
        errors[name] = max(float((b - a).norm() / a.norm()) for a, b in pairs)
    return {"bfloat16_errors": errors}
