from __future__ import annotations

import pytest

from ecad_diffusers.worker.timings import UncachedTimings


def timings(*seconds: float) -> UncachedTimings:
    made = UncachedTimings(images=2)
    for value in seconds:
        made.add(value, now=100.0)
    return made


def test_seconds_are_the_median_of_the_latest() -> None:
    assert timings(4).seconds_per_image == 4
    assert timings(4, 90, 6).seconds_per_image == 6
    assert timings(4, 90, 6, 7).seconds_per_image == 7


@pytest.mark.parametrize("made, seconds", [(timings(0.1), 0.2), (timings(30), 60)])
def test_the_interval_grows_with_the_duration(made: UncachedTimings, seconds: float) -> None:
    assert timings().is_due(100)
    assert not made.is_due(100 + 19 * seconds)
    assert made.is_due(100 + 21 * seconds)


def test_an_old_timing_is_not_that_before_a_candidate() -> None:
    assert timings().latest_within(5, 100) is None
    assert timings(1, 2).latest_within(5, 104) == 2
    assert timings(1, 2).latest_within(5, 106) is None
