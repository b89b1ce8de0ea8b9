"""The hash by which a coordinator recognises a model: of the files that are loaded, links followed.

The same as `ModelFingerprint` and `WeightFiles` of the engine, which document the choice of files.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import struct
from typing import Any, BinaryIO

from .errors import WorkerError

_VERSION = b"ecad model fingerprint 2\n"
_SAMPLE_BYTES, _SAMPLES, _TENSOR_SAMPLE_BYTES = 64 << 10, 64, 4 << 10
_LONGEST_HEADER = 100_000_000
_SINGLE, _INDEX = ".safetensors", ".safetensors.index.json"


def fingerprint(folder: str, image_only: bool = False) -> str:
    """The fingerprint of a model or of a scorer's; `image_only` leaves out text encoders and tokenizers."""
    root = pathlib.Path(folder)
    digest = hashlib.sha256(_VERSION)
    for path in loaded_files(root, image_only):
        try:
            with open(root / path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size == 0:
                    raise WorkerError(f"{root / path}: is empty; expected the file of the model")
                _reject_pointer(root / path, file.read(64))
                digest.update(f"{path}\n{size}\n".encode())
                for start, end in _samples(file, size) if path.endswith(_SINGLE) else [(0, size)]:
                    file.seek(start)
                    digest.update(file.read(end - start))
        except OSError as error:
            raise WorkerError(f"{root / path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def loaded_files(root: pathlib.Path, image_only: bool = False) -> list[str]:
    """The files that are loaded, relative to the directory, in the order in which they are hashed."""
    if not (root / "model_index.json").exists() and (root / "config.json").exists():
        files = _network(root, "", "model")
        if _json(root / "config.json").get("model_type") == "clip":
            return files + _clip_tokenizer(root, "") + _existing(root, ["preprocessor_config.json"])
        return [*files, "vocab.txt"]
    files = ["model_index.json", "scheduler/scheduler_config.json"]
    files += _network(root, "transformer/", "diffusion_pytorch_model") + _network(root, "vae/", "diffusion_pytorch_model")
    if image_only or not (root / "text_encoder" / "config.json").exists():
        return files
    is_flux = _json(root / "model_index.json").get("_class_name") == "FluxPipeline"
    suffix = "_2" if is_flux else ""
    files += _network(root, f"text_encoder{suffix}/", "model")
    tokenizer = f"tokenizer{suffix}/"
    files.append(tokenizer + ("tokenizer.json" if (root / tokenizer / "tokenizer.json").exists() else "spiece.model"))
    files += _existing(root, [f"{tokenizer}tokenizer_config.json"])
    return files + _network(root, "text_encoder/", "model") + _clip_tokenizer(root, "tokenizer/") if is_flux else files


def weight_files(folder: pathlib.Path, base: str) -> list[str]:
    """The names of the index, if one is used, and of the safetensors files."""
    config = folder / "config.json"
    for key in ("quantization_config", "compression_config"):
        if config.exists() and _json(config).get(key) is not None:
            raise WorkerError(f"{config}: {key} is present; expected no {key}: quantized weights are not supported")
    try:
        suffixes = sorted(name[len(base) :] for name in os.listdir(folder) if name.startswith(f"{base}."))
    except OSError as error:
        raise WorkerError(f"{folder}: cannot be read: {error.strerror}") from None
    if _SINGLE in suffixes or _INDEX in suffixes:
        single, index = (_SINGLE if _SINGLE in suffixes else None), (_INDEX if _INDEX in suffixes else None)
    else:
        single, index = _variant(folder, base, suffixes)
    if index and (not single or base != "model"):
        shards = _json(folder / (base + index)).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(name, str) and name and "/" not in name for name in shards.values()):
            raise WorkerError(f"{folder / (base + index)}: weight_map is malformed; expected names of files in the same directory")
        return [base + index, *sorted(set(shards.values()), key=str.encode)]
    if not single:
        raise WorkerError(f"{folder}: no weights found; expected {base}.safetensors or {base}.safetensors.index.json in this directory")
    return [base + single]


def _variant(folder: pathlib.Path, base: str, suffixes: list[str]) -> tuple[str | None, str | None]:
    """The ends of the names of the single file and of the index of the only variant, such as `.fp16.safetensors`."""
    found: dict[str, list[str]] = {}
    for suffix in suffixes:
        for start, end in ((".", _SINGLE), (".", _INDEX), (".safetensors.index.", ".json")):
            name = suffix[len(start) : -len(end)]
            if suffix.startswith(start) and suffix.endswith(end) and name and "." not in name and "-of-" not in name:
                found.setdefault(name, []).append(suffix)
                break
    if len(found) > 1:
        raise WorkerError(f"{folder}: has the variants {' and '.join(sorted(found))} of {base}.safetensors; expected {base}.safetensors or a single variant")
    files = next(iter(found.values()), [])
    return next((name for name in files if not name.endswith(".json")), None), next((name for name in files if name.endswith(".json")), None)


def _network(root: pathlib.Path, prefix: str, base: str) -> list[str]:
    return [prefix + name for name in ["config.json", *weight_files(root / prefix, base)]]


def _clip_tokenizer(root: pathlib.Path, prefix: str) -> list[str]:
    is_json = not (root / prefix / "vocab.json").exists() and (root / prefix / "tokenizer.json").exists()
    vocabulary = ["tokenizer.json"] if is_json else ["vocab.json", "merges.txt"]
    return [prefix + name for name in vocabulary] + _existing(root, [f"{prefix}tokenizer_config.json", f"{prefix}special_tokens_map.json"])


def _existing(root: pathlib.Path, files: list[str]) -> list[str]:
    return [name for name in files if (root / name).exists()]


def _samples(file: BinaryIO, size: int) -> list[tuple[int, int]]:
    """Evenly spaced samples, the header, and both ends of every tensor."""
    last = size - _SAMPLE_BYTES
    ranges = [(0, size)]
    if last > 0:
        ranges = [(last // (_SAMPLES - 1) * index, last // (_SAMPLES - 1) * index + _SAMPLE_BYTES) for index in range(_SAMPLES)]
    file.seek(0)
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if size < 8 or length > min(size - 8, _LONGEST_HEADER):
        return ranges
    try:
        header = json.loads(file.read(length))
    except ValueError:
        return ranges
    data = 8 + length
    ranges.append((0, data))
    for tensor in header.values() if isinstance(header, dict) else []:
        offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if isinstance(offsets, list) and len(offsets) == 2 and 0 <= offsets[0] < offsets[1] <= size - data:
            count = min(offsets[1] - offsets[0], _TENSOR_SAMPLE_BYTES)
            ranges += [(data + offsets[0], data + offsets[0] + count), (data + offsets[1] - count, data + offsets[1])]
    return ranges


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WorkerError(f"{path}: cannot be read: {error.strerror}") from None
    _reject_pointer(path, content)
    try:
        value = json.loads(content)
    except ValueError as error:
        raise WorkerError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise WorkerError(f"{path}: the document is no object; expected an object")
    return value


def _reject_pointer(path: pathlib.Path, content: bytes) -> None:
    if content.startswith(b"version https://git-lfs.github.com/spec/"):
        raise WorkerError(f'{path}: is a Git LFS pointer, not the file itself; run "git lfs pull" in the repository that it is from')
