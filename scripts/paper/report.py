"""Rows with means, intervals and verdicts, and the report as Markdown and JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from .measures import Interval, interval


@dataclasses.dataclass
class Row:
    """A quantity with one value per seed of the search.

    With `above`, the row tests a claim: that the quantity is above this bound. The claim holds if the whole interval is.
    """

    text: str
    values: list[float]
    unit: str = ""
    digits: int = 2
    above: float | None = None
    absence: str = "no schedule is as cheap"
    """Why there are no values, if there are none."""

    @property
    def interval(self) -> Interval | None:
        return interval(self.values) if self.values else None

    @property
    def verdict(self) -> str:
        found = self.interval
        if self.above is None or found is None:
            return ""
        bound = f"{self.above:g}"
        if found.lower is None or found.upper is None:
            return f"{'above' if found.mean > self.above else '**not above**'} {bound}, one seed"
        if found.lower > self.above:
            return "holds"
        return "**does not hold**" if found.upper < self.above else f"**not shown**: the interval contains {bound}"

    def cells(self) -> list[str]:
        found = self.interval
        if found is None:
            return [self.text, "", "", "0", self.absence]

        def number(value: float) -> str:
            return f"{value:.{self.digits}f}".replace("-", "−")

        mean = number(found.mean) + (f" {self.unit}" if self.unit else "")
        bounds = f"{number(found.lower)} to {number(found.upper)}" if found.lower is not None and found.upper is not None else ""
        return [self.text, mean, bounds, str(found.values), self.verdict]

    def json(self) -> dict[str, Any]:
        found = self.interval
        return {
            "text": self.text, "unit": self.unit, "values": self.values, "above": self.above, "verdict": self.verdict.replace("**", ""),
            "mean": found and found.mean, "lower": found and found.lower, "upper": found and found.upper,
        }  # fmt: skip


@dataclasses.dataclass
class Part:
    """A claim with the rows that test it."""

    name: str
    claim: str
    rows: list[Row]
    seeds: int
    """Seeds that are measured."""
    is_finished: bool
    """Whether all seeds asked for are."""


HEADER = ["", "mean", "95 % interval", "seeds", "claim"]


def markdown(parts: list[Part], introduction: str) -> str:
    """One table; a part begins with its claim."""
    lines = [introduction, "", "| " + " | ".join(HEADER) + " |", "|---|---|---|---|---|"]
    for part in parts:
        state = "" if part.is_finished else f" *Unfinished: {part.seeds} seed{'s' * (part.seeds > 1)} so far.*"
        lines.append(f"| **({part.name}) {part.claim}**{state} | | | | |")
        lines += ["| " + " | ".join(row.cells()) + " |" for row in part.rows]
    return "\n".join(lines) + "\n"


def document(parts: list[Part], **facts: Any) -> dict[str, Any]:
    """The same as a value for JSON, with the values of every seed."""
    return facts | {
        "parts": [
            {"part": part.name, "claim": part.claim, "seeds": part.seeds, "finished": part.is_finished, "rows": [row.json() for row in part.rows]}
            for part in parts
        ]
    }
