"""Where the seconds of a worker went."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Profile:
    """Seconds by activity since the start; an activity may have parts. Used by the computing thread."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._counts: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._parts: dict[str, dict[str, float]] = {}
        self._current = ""

    @contextlib.contextmanager
    def activity(self, name: str) -> Iterator[None]:
        """Counts the time of the `with` block; parts within it belong to this activity."""
        self._current, start = name, time.perf_counter()
        try:
            yield
        finally:
            self._counts[name] = self._counts.get(name, 0) + 1
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts the time of the `with` block as part of the current activity."""
        start = time.perf_counter()
        try:
            yield
        finally:
            parts = self._parts.setdefault(self._current, {})
            parts[name] = parts.get(name, 0.0) + time.perf_counter() - start

    def summary(self) -> str:
        """One line, such as `opening 9.1 s; 12 x evaluation 80.2 s (denoising 71.3, decoding 7.0); waiting 2.1 s`."""
        entries = []
        for name, seconds in list(self._seconds.items()):
            count = f"{self._counts[name]} x " if self._counts[name] > 1 else ""
            parts = ", ".join(f"{part} {taken:.1f}" for part, taken in self._parts.get(name, {}).items())
            entries.append(f"{count}{name} {seconds:.1f} s" + (f" ({parts})" if parts else ""))
        waiting = time.perf_counter() - self._start - sum(self._seconds.values())
        return "; ".join([*entries, f"waiting {max(0.0, waiting):.1f} s"])
