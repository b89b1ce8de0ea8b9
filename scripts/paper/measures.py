"""Fronts, hypervolumes, rank correlation and confidence intervals: pure functions, without the programs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """A schedule's cost relative to the uncached model and its quality; `name` identifies the schedule."""

    cost: float
    quality: float
    name: str = ""


class Interval(NamedTuple):
    """A mean with its confidence interval; the bounds are None for a single value."""

    mean: float
    lower: float | None
    upper: float | None
    values: int


def front(points: Iterable[Point]) -> list[Point]:
    """The non-dominated points (cost minimised, quality maximised) by ascending cost; of equal points the first."""
    best, members = -math.inf, []
    for point in sorted(points, key=lambda point: (point.cost, -point.quality)):
        if point.quality > best:
            members.append(point)
            best = point.quality
    return members


def hypervolume(points: Iterable[Point], cost: float, quality: float) -> float:
    """Area between the front and a reference point; points that are not better than it in both objectives add nothing."""
    volume, right = 0.0, cost
    inside = [point for point in points if point.cost < cost and point.quality > quality]
    for point in reversed(front(inside)):
        volume += (right - point.cost) * (point.quality - quality)
        right = point.cost
    return volume


def pick(members: Iterable[Point], cost: float) -> Point | None:
    """The member of best quality with at most this cost, as `ecad-coordinator pick --max-latency` selects it; None if there is none.

    A front is a step function: between two members no schedule exists, so nothing is interpolated linearly.
    """
    affordable = [point for point in members if point.cost <= cost * (1 + 1e-9)]
    return max(affordable, key=lambda point: (point.quality, -point.cost), default=None)


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0; equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result, first = [0.0] * len(values), 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for index in order[first : last + 1]:
            result[index] = (first + last) / 2
        first = last + 1
    return result


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Rank correlation; None for fewer than two pairs and where one side is constant."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values; expected as many on both sides")
    if len(a) < 2 or min(a) == max(a) or min(b) == max(b):
        return None
    return statistics.correlation(ranks(a), ranks(b))


def student_cdf(t: float, freedom: int) -> float:
    """Distribution function of Student's t: the finite series for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    cosine = math.cos(angle)
    if freedom % 2:
        term, total = cosine, cosine if freedom > 1 else 0.0
        for k in range(3, freedom - 1, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        central = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        term = total = 1.0
        for k in range(2, freedom - 1, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        central = math.sin(angle) * total
    return 0.5 + central / 2


def student_quantile(probability: float, freedom: int) -> float:
    """The inverse of `student_cdf` for probabilities from 0.5 to below 1, by bisection."""
    if not 0.5 <= probability < 1 or freedom < 1:
        raise ValueError(f"probability {probability}, {freedom} degrees of freedom; expected 0.5 to below 1, at least 1")
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and two-sided confidence interval by Student's t.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"values {list(values)}; expected at least one, all finite")
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None, len(values))
    margin = student_quantile((1 + confidence) / 2, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - margin, mean + margin, len(values))
