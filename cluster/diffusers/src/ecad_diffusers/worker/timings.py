"""When the uncached model is timed, to which candidates' latencies are related; the engine's `UncachedTimings`."""

from __future__ import annotations

import collections
import statistics

COUNT = 3
"""Timings of which the median is taken."""
SHORT_SECONDS = 1.0
"""Shorter runs than this are timed for each of the first candidates, if latencies are an objective."""


class UncachedTimings:
    """The latest timings of the uncached model for one number of images.

    A single timing is wrong by several percent, and the speed of a machine changes. Their median follows it and ignores a disturbance.
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

    def is_due(self, now: float, is_objective: bool) -> bool:
        """Whether the model should be timed again.

        For a twentieth of a worker's time where latencies are an objective, otherwise at most once a minute and for a fiftieth of the time.
        """
        if not self._latest:
            return True
        seconds = self._latest[-1] * self._images
        if not is_objective:
            return now - self.end > max(60, 50 * seconds)
        return (len(self._latest) < COUNT and seconds < SHORT_SECONDS) or now - self.end > 20 * seconds
