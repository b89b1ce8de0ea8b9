"""Compact schedule files (`.ecad`): a front of bit-packed schedules of one shape; FORMAT.md describes them byte by byte."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
from typing import Any, NoReturn

from . import jsontext, published
from .schedule import BLOCK_LIMIT, STEP_LIMIT, Schedule, ScheduleError, Shape

SIGNATURE = b"\x89ECAD\r\n\x1a"
VERSION = 1
DIGEST_BYTES = 32


@dataclasses.dataclass(frozen=True)
class CompactEntry:
    schedule: Schedule
    config: dict[str, Any]
    cost: float | None
    quality: float | None


def is_compact(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def parse(data: bytes, file: str) -> list[CompactEntry]:
    """Reads a compact file; damaged files and newer versions of the format are errors."""
    head = _Reader(data, file, len(SIGNATURE), len(data))
    if not is_compact(data):
        head.fail("not a compact schedule file", 0)
    version = head.integer(2, 0, 65535, "the version")
    if version != VERSION:
        head.fail(f"expected version {VERSION}, found {version}", len(SIGNATURE))
    end = len(data) - DIGEST_BYTES
    if end < head.offset or hashlib.sha256(data[:end]).digest() != data[end:]:
        head.fail("the checksum differs: the file is damaged or truncated", max(0, end))

    reader = _Reader(data, file, head.offset, end)
    width = reader.integer(1, 1, 8, "bits per gene")
    reader.integer(1, 0, 1, "whether the settings are known")
    reader.take(DIGEST_BYTES, "the hash of the settings")
    shape = _shape(reader)
    count = reader.integer(4, 1, 2**31 - 1, "the number of schedules")
    for what in ("the name of the cost", "the name of the quality", "the provenance"):
        reader.text(what)
    entries = [_entry(reader, shape, width) for _ in range(count)]
    if reader.offset != end:
        reader.fail("more bytes after the last schedule")
    return entries


def _shape(reader: _Reader) -> Shape:
    flux = reader.integer(2, 0, 1, "the kind of blocks") == 1
    blocks = reader.integer(2, 0 if flux else 1, BLOCK_LIMIT, "the number of blocks")
    low, high = (0 if blocks else 1, BLOCK_LIMIT - blocks) if flux else (0, 0)
    singles = reader.integer(2, low, high, "the number of single-stream blocks")
    return Shape(flux, blocks, singles, reader.integer(2, 1, STEP_LIMIT, "the number of steps"))


def _entry(reader: _Reader, shape: Shape, width: int) -> CompactEntry:
    start = reader.offset
    gate = reader.integer(2, 0, 0 if shape.flux else STEP_LIMIT, "the gate step")
    cost, quality = (reader.double(what) for what in ("the cost", "the quality"))
    name = reader.text("a schedule's name")
    place = f"{reader.file}: byte {reader.offset}"
    details = jsontext.parse(reader.text("a schedule's details").encode(), place)
    details.object()
    found = published.pipeline_gate(details)
    if (found.step if found else 0) != gate:
        reader.fail(f"gate step {gate} differs from the one in the schedule's details", start)
    if attributes := details.optional("attributes"):
        attributes.object()
    config = details.optional("config")
    bits = _unpack(reader, shape.genes, width)
    return CompactEntry(Schedule(shape, bits, gate or None, name), config.object() if config else {}, cost, quality)


def _unpack(reader: _Reader, genes: int, width: int) -> tuple[bool, ...]:
    start = reader.offset
    packed = int.from_bytes(reader.take((genes * width + 7) // 8, "a schedule's genes"), "little")
    digits = f"{packed:0{genes * width}b}"[::-1]
    if len(digits) > genes * width:
        _check_genes(reader, digits[: genes * width], width, start)
        reader.fail("bits set beyond the last gene", start)
    _check_genes(reader, digits, width, start)
    return tuple(digit == "1" for digit in digits[::width])


def _check_genes(reader: _Reader, digits: str, width: int, start: int) -> None:
    for gene in range(len(digits) // width) if width > 1 else ():
        value = int(digits[gene * width : (gene + 1) * width][::-1], 2)
        if value > 1:
            reader.fail(f"gene {gene}: expected 0 or 1, found {value}", start)


class _Reader:
    """Reads little-endian values one after the other from bytes that may hold anything."""

    def __init__(self, data: bytes, file: str, start: int, end: int):
        self.file = file
        self.offset = start
        self._data = data
        self._end = end

    def fail(self, problem: str, place: int | None = None) -> NoReturn:
        raise ScheduleError(f"{self.file}: byte {self.offset if place is None else place}: {problem}")

    def take(self, count: int, what: str) -> bytes:
        if count > self._end - self.offset:
            self.fail(f"the file ends within {what}")
        self.offset += count
        return self._data[self.offset - count : self.offset]

    def integer(self, size: int, low: int, high: int, what: str) -> int:
        start = self.offset
        value = int.from_bytes(self.take(size, what), "little")
        if not low <= value <= high:
            self.fail(f"{what}: expected {low} to {high}, found {value}", start)
        return value

    def double(self, what: str) -> float | None:
        """An IEEE 754 binary64; None for a value that is not finite, which means unknown."""
        value: float = struct.unpack("<d", self.take(8, what))[0]
        return value if math.isfinite(value) else None

    def text(self, what: str) -> str:
        start = self.offset
        data = self.take(self.integer(4, 0, 2**32 - 1, what), what)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            self.fail(f"{what} is not UTF-8", start)
