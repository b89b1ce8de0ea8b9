"""Schedule files: published JSON files with one schedule, and compact files with a front of schedules."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from . import compact, published
from .schedule import Schedule, ScheduleError


@dataclasses.dataclass(frozen=True)
class Entry:
    """A schedule of a file with what the file says about it."""

    schedule: Schedule
    config: dict[str, Any]
    """`config` of the published format: `height`, `width`, `guidance_scale` and others, for which it was made."""
    cost: float | None = None
    """Measured cost relative to the uncached model, or multiply-adds; None if unknown."""
    quality: float | None = None


def read_schedules(path: str | os.PathLike[str]) -> list[Entry]:
    """Reads all schedules of a file; its content determines the format."""
    file = os.fspath(path)
    try:
        data = pathlib.Path(file).read_bytes()
    except OSError as error:
        raise ScheduleError(f"{file}: cannot be read: {error.strerror}") from None
    if compact.is_compact(data):
        return [Entry(item.schedule, item.config, item.cost, item.quality) for item in compact.parse(data, file)]
    schedule, config = published.parse(data, file)
    return [Entry(schedule, config)]


def save_schedule(schedule: Schedule, path: str | os.PathLike[str]) -> None:
    """Writes a schedule as a JSON file in the published format, which `load_schedule`, `ecad` and the original read. Raises ScheduleError."""
    file = pathlib.Path(path)
    if file.suffix != ".json":
        raise ScheduleError(f"{file}: expected a name that ends in .json; compact files are written by `ecad schedule convert`")
    try:
        file.write_text(published.text(schedule), encoding="utf-8")
    except OSError as error:
        raise ScheduleError(f"{file}: cannot be written: {error.strerror}") from None


def load_schedule(path: str | os.PathLike[str], entry: int | None = None) -> Schedule:
    """Reads one schedule of a file.

    `entry` is the schedule's index in a compact file and may be omitted if the file has only one. Raises ScheduleError.
    """
    return load_entry(path, entry).schedule


def load_entry(path: str | os.PathLike[str], entry: int | None = None) -> Entry:
    """Reads one schedule of a file with its configuration and measurements."""
    entries = read_schedules(path)
    index = 0 if entry is None and len(entries) == 1 else entry
    if index is None or not 0 <= index < len(entries):
        found = "no entry is named" if entry is None else f"entry is {entry}"
        raise ScheduleError(f"{os.fspath(path)}: holds {len(entries)} schedules and {found}; expected 0 to {len(entries) - 1}")
    return entries[index]
