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


def test_short_runs_are_repeated_at_the_beginning_for_latencies() -> None:
    assert timings(0.4, 0.4).is_due(100, is_objective=True)
    assert not timings(0.4, 0.4).is_due(100, is_objective=False)
    assert not timings(0.4, 0.4, 0.4).is_due(100, is_objective=True)
    # Two images of 0.6 s are no longer short.
    assert not timings(0.6).is_due(100, is_objective=True)


@pytest.mark.parametrize(
    "made, is_objective, seconds",
    [(timings(0.1, 0.1, 0.1), False, 60), (timings(30), False, 3000), (timings(0.1, 0.1, 0.1), True, 4), (timings(30), True, 1200)],
)
def test_the_interval_grows_with_the_duration(made: UncachedTimings, is_objective: bool, seconds: float) -> None:
    assert timings().is_due(100, is_objective)
    assert not made.is_due(100 + 0.99 * seconds, is_objective)
    assert made.is_due(100 + 1.01 * seconds, is_objective)


def test_an_old_timing_is_not_that_before_a_candidate() -> None:
    assert timings().latest_within(5, 100) is None
    assert timings(1, 2).latest_within(5, 104) == 2
    assert timings(1, 2).latest_within(5, 106) is None
