"""Who a worker is: its key file."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import stat

import zmq.utils.z85

from .errors import WorkerError


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
