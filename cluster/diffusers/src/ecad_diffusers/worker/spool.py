"""Unacknowledged results on disk, in the files that `ecad-worker` writes."""

from __future__ import annotations

import os
import pathlib
import re
import time

from . import messages_pb2 as pb
from . import protocol
from .errors import WorkerError

RETENTION_SECONDS = 7 * 86_400


class Spool:
    """Each result is a file `RUN.TASK.EPOCH.result` with the encoded message; those of other runs stay for a week."""

    def __init__(self, folder: str):
        self._folder = pathlib.Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("*.result"):
                if time.time() - path.stat().st_mtime > RETENTION_SECONDS:
                    path.unlink()
        except OSError as error:
            raise WorkerError(f"{folder}: cannot be used as a spool: {error.strerror}") from None

    def store(self, run: str, key: tuple[int, int], data: bytes) -> None:
        """Writes a result; it is on disk when this returns."""
        path = self._path(run, key)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            folder = os.open(self._folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError as error:
            raise WorkerError(f"{path}: cannot be written: {error.strerror}") from None

    def remove(self, run: str, key: tuple[int, int]) -> None:
        self._path(run, key).unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        try:
            self._folder.rmdir()
        except OSError:
            pass

    def results(self, run: str) -> dict[tuple[int, int], bytes]:
        """The results of a run that an earlier process stored; damaged ones are deleted, their tasks are assigned again."""
        found = {}
        for path in self._folder.glob("*.result"):
            if not path.name.startswith(_prefix(run)):
                continue
            try:
                data = path.read_bytes()
                message = pb.WorkerMessage.FromString(data)
                result = message.task_result
                if message.protocol_version != protocol.VERSION or result.checksum != protocol.checksum(result):
                    raise ValueError
            except Exception:
                path.unlink(missing_ok=True)
                continue
            found[result.task_id, result.lease_epoch] = data
        return found

    def _path(self, run: str, key: tuple[int, int]) -> pathlib.Path:
        return self._folder / f"{_prefix(run)}{key[0]}.{key[1]}.result"


def _prefix(run: str) -> str:
    """The run id without characters that could make it a path."""
    return re.sub("[^A-Za-z0-9]", "-", run) + "."
