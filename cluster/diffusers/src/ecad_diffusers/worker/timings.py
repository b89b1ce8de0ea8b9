"""When the uncached model is timed, to which candidates' latencies are related; the engine's `UncachedTimings`."""

from __future__ import annotations

import collections
import statistics

COUNT = 3
"""Timings of which the median is taken."""
INTERVAL = 20.0
"""A timing is due after this many times its duration: uncached runs take at most a twentieth of a worker's time."""


class UncachedTimings:
    """The latest timings of the uncached model for one number of images.

    A single timing is wrong by several percent, and a machine's speed changes within a minute. Timings spread over the
    whole time follow it, and their median ignores a disturbance.
    """

    def __init__(self, images: int):
        self._images = images
        self._latest: collections.deque[float] = collections.deque(maxlen=COUNT)
        self.end = 0.0
        """When the latest ended, by the caller's clock in seconds."""

    @property
    def seconds_per_image(self) -> float:
        """The median of the latest timings, of which there must be one."""
        return statistics.median(self._latest)

    def add(self, seconds_per_image: float, now: float) -> None:
        self._latest.append(seconds_per_image)
        self.end = now

    def latest_within(self, age: float, now: float) -> float | None:
        """Seconds per image of the latest timing if it ended at most `age` seconds ago."""
        return self._latest[-1] if self._latest and now - self.end <= age else None

    def is_due(self, now: float) -> bool:
        return not self._latest or now - self.end > INTERVAL * self._latest[-1] * self._images
