"""Who a worker is: key files, fingerprints of model directories."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import re
import stat

import zmq.utils.z85

from .errors import WorkerError

_SUFFIXES = (".safetensors", ".json", ".model", ".txt")
_SAMPLE_BYTES = 64 << 10
_SAMPLES = 64


@dataclasses.dataclass(frozen=True)
class Key:
    """A worker's CURVE keys, each 32 bytes, as `ecad-coordinator keys new` writes them."""

    name: str
    public: bytes
    secret: bytes
    coordinator: bytes

    @staticmethod
    def read(path: str) -> Key:
        try:
            if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
                raise WorkerError(f"{path}: others can read it; expected mode 600")
            text = pathlib.Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise WorkerError(f"{path}: cannot be read: {error}") from None
        fields = dict(re.findall(r"^\s*([a-z]+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))
        keys = {}
        for name in ("public", "secret", "coordinator"):
            if not re.fullmatch("[0-9a-fA-F]{64}", fields.get(name, "")):
                raise WorkerError(f'{path}: not a worker\'s key file; expected a line "{name} = 64 hexadecimal digits"')
            keys[name] = bytes.fromhex(fields[name])
        if zmq.curve_public(zmq.utils.z85.encode(keys["secret"])) != zmq.utils.z85.encode(keys["public"]):
            raise WorkerError(f"{path}: the public key does not match the secret key")
        return Key(fields.get("name", ""), **keys)


def fingerprint(folder: str, image_only: bool = False) -> str:
    """The hash by which a coordinator recognises a model; `image_only` leaves out text encoders and tokenizers.

    Small files are hashed whole, safetensors by their size and 64 evenly spaced samples.
    """
    root = pathlib.Path(folder)
    paths = sorted(
        (os.path.relpath(os.path.join(parent, name), root) for parent, _, names in os.walk(root) for name in names if name.endswith(_SUFFIXES)),
        key=str.encode,
    )
    digest = hashlib.sha256()
    for path in paths:
        if image_only and path.startswith(("text_encoder", "tokenizer")):
            continue
        with open(root / path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{path}\n{size}\n".encode())
            if not path.endswith(".safetensors"):
                digest.update(file.read())
            elif size <= _SAMPLE_BYTES:
                digest.update(file.read(_SAMPLE_BYTES))
            else:
                for index in range(_SAMPLES):
                    file.seek((size - _SAMPLE_BYTES) // (_SAMPLES - 1) * index)
                    digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
