"""Medians of alternating runs, and the report as JSON and Markdown."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
from typing import Any


@dataclasses.dataclass
class Row:
    """One comparison: seconds of every round, of the engine and, if measured, of PyTorch."""

    part: str
    name: str
    precision: str
    threads: int
    ours: list[float]
    theirs: list[float] = dataclasses.field(default_factory=list)
    operations: float | None = None
    """Multiplications and additions of one run."""
    note: str = ""

    @property
    def seconds(self) -> float:
        return statistics.median(self.ours)

    @property
    def rate(self) -> float | None:
        """GFLOP/s of the engine."""
        return self.operations / self.seconds / 1e9 if self.operations else None

    @property
    def speedup(self) -> float | None:
        """The median over the rounds of PyTorch's seconds by the engine's, so that drift of the machine cancels."""
        return statistics.median(b / a for a, b in zip(self.ours, self.theirs)) if self.theirs else None


class Report:
    def __init__(self, path: pathlib.Path, machine: dict[str, Any]):
        """Written after every result to the path with the endings .json and .md."""
        self.path = path
        self.machine = machine
        self.rows: list[Row] = []
        self.facts: list[dict[str, Any]] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print("  " + " | ".join(self._cells(row)), flush=True)
        self.write()

    def fact(self, **values: Any) -> None:
        """A result that is not a time."""
        self.facts.append(values)
        print("  " + ", ".join(f"{key} {value}" for key, value in values.items()), flush=True)
        self.write()

    def ceiling(self, precision: str, threads: int) -> float | None:
        """The best rate of a product in this report, GFLOP/s."""
        rates = [row.rate for row in self.rows if row.part == "products" and (row.precision, row.threads) == (precision, threads)]
        return max((rate for rate in rates if rate), default=None)

    def _cells(self, row: Row) -> list[str]:
        ceiling = self.ceiling(row.precision, row.threads)

        def number(value: float | None, form: str) -> str:
            return format(value, form) if value is not None else ""

        theirs = statistics.median(row.theirs) if row.theirs else None
        share = row.rate / ceiling if row.rate and ceiling else None
        return [
            row.part, row.name, row.precision, str(row.threads), f"{row.seconds:.4g}", number(theirs, ".4g"), number(row.speedup, ".2f"),
            number(row.rate, ".0f"), number(share, ".0%"), row.note,
        ]  # fmt: skip

    def write(self) -> None:
        rows = [
            dataclasses.asdict(row) | {"median_seconds": row.seconds, "gflops": row.rate, "speedup": row.speedup, "ceiling": self.ceiling(row.precision, row.threads)}
            for row in self.rows
        ]
        content = {"machine": self.machine, "rows": rows, "facts": self.facts}
        self.path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
        lines = [", ".join(f"{key}: {value}" for key, value in self.machine.items()), ""]
        if self.rows:
            head = ["part", "what", "precision", "threads", "engine, s", "diffusers, s", "speed-up", "GFLOP/s", "of best product", "note"]
            lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
            lines += ["| " + " | ".join(self._cells(row)) + " |" for row in self.rows]
            lines += ["", "Medians of alternating runs; the speed-up is the median of the ratios of each round.", ""]
        lines += ["- " + ", ".join(f"{key}: {value}" for key, value in fact.items()) for fact in self.facts]
        self.path.with_suffix(".md").write_text("\n".join(lines) + "\n")
