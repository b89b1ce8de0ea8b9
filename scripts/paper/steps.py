"""The searches of all parts, and the steps that measure them: each has one result file, and is not repeated once it is written."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

from .measures import Point, front
from .programs import PROMPTS, UNCACHED, PaperError, Work, write_json

ALPHA, SIGMA = "shapes-pixart-alpha", "shapes-pixart-sigma"
FULL: dict[str, Any] = {
    "steps": 20, "population": 24, "generations": 6, "paper_generations": 20, "unseen": 24, "rank_prompts": 120, "rank_members": 8,
    "fora": ["fora-2", "fora-3", "fora-4", "fora-5"],
    "tgate": ["tgate-5-1", "tgate-5-3", "tgate-5-5", "tgate-10-1", "tgate-10-3", "tgate-10-5"],
}  # fmt: skip
"""The quick start's budget: 24 x 6 schedules; the paper's rules get more, to see what they reach with it."""
QUICK: dict[str, Any] = FULL | {
    "steps": 10, "population": 6, "generations": 3, "paper_generations": 4, "unseen": 6, "rank_prompts": 12, "rank_members": 3,
    "fora": ["fora-2", "fora-3"], "tgate": ["tgate-3-1", "tgate-3-2"],
}  # fmt: skip
SHORT = 2
"""Generations of a short warm start, and of what it is compared with."""


@dataclasses.dataclass(frozen=True)
class Search:
    """A search, which runs once for every seed, and what of it is measured on unseen prompts besides its front."""

    model: str
    cost: str
    quality: str = "psnr"
    preset: str = "default"
    size: int | None = None
    prompts: int = 8
    seeds_per_prompt: int = 1
    generations: str | int = "generations"
    """A number, or the setting that holds it."""
    warm_start: str | None = None
    """The search, with the same seed, from whose front this one starts."""
    prefixes: tuple[int, ...] = ()
    """The fronts after this many generations."""
    transfers: tuple[str, ...] = ()
    """The fronts of these searches with the same seed."""
    heuristics: tuple[str, ...] = ()
    """Settings with names of heuristics."""


SEARCHES = {
    "alpha-latency-psnr": Search(ALPHA, "latency", prefixes=(1,), heuristics=("fora", "tgate")),
    "alpha-latency-reward": Search(ALPHA, "latency", "image-reward-clipped", heuristics=("fora", "tgate")),
    "alpha": Search(ALPHA, "macs", prefixes=(SHORT,)),
    "alpha-paper": Search(ALPHA, "macs", preset="ecad-paper", generations="paper_generations", prefixes=(1,), heuristics=("fora", "tgate")),
    "sigma": Search(SIGMA, "macs", size=64, prefixes=(SHORT,), transfers=("alpha",), heuristics=("fora",)),
    "sigma-warm": Search(SIGMA, "macs", size=64, generations=SHORT, warm_start="alpha"),
    "sigma-paper": Search(SIGMA, "macs", preset="ecad-paper", size=64, generations=SHORT, transfers=("alpha-paper",), heuristics=("fora",)),
    "sigma-paper-warm": Search(SIGMA, "macs", preset="ecad-paper", size=64, generations=SHORT, warm_start="alpha-paper"),
    "sigma-96": Search(SIGMA, "macs", size=96, transfers=("sigma",), heuristics=("fora",)),
    "alpha-3x1": Search(ALPHA, "macs", prompts=3),
    "alpha-3x3": Search(ALPHA, "macs", prompts=3, seeds_per_prompt=3),
    "alpha-8x3": Search(ALPHA, "macs", seeds_per_prompt=3, prefixes=(SHORT,)),
}
PARTS = {
    "a": ["alpha-latency-psnr", "alpha-latency-reward"],
    "b": ["alpha-latency-psnr", "alpha-latency-reward"],
    "c": ["alpha", "alpha-paper"],
    "d": ["sigma", "sigma-warm", "sigma-paper", "sigma-paper-warm"],
    "e": ["sigma", "sigma-96"],
    "f": ["alpha", "alpha-3x1", "alpha-3x3", "alpha-8x3"],
    "g": ["alpha-latency-psnr", "alpha-latency-reward"],
}
"""The searches whose unseen measurements a part uses."""
FRECHET = "frechet"
FRECHET_UNCACHED = "frechet-uncached"


@dataclasses.dataclass(frozen=True)
class Step:
    """Something to be measured: its key names the result file, its weight is about the number of uncached images."""

    key: str
    weight: float
    measure: Callable[[Work], Any]


def steps(part: str, seed: int, settings: dict[str, Any]) -> list[Step]:
    """What a part needs for one seed of the search, in an order in which everything is there when it is needed."""
    found: dict[str, Step] = {}

    def add_run(name: str) -> None:
        search = SEARCHES[name]
        for source in filter(None, [search.warm_start, *search.transfers]):
            add_run(source)
        share = 0.7 if search.preset == "ecad-paper" else 0.4
        images = settings["population"] * generations(search, settings) * search.prompts * search.seeds_per_prompt * share + 100
        found.setdefault(f"{name}-{seed}.run", Step(f"{name}-{seed}.run", images * scale(search), lambda work: run(work, name, seed)))

    def add_unseen(name: str) -> None:
        add_run(name)
        key, search = f"{name}-{seed}.unseen", SEARCHES[name]
        count = front_size(search) * (1 + len(search.transfers)) + 15 * len(search.prefixes) + 5 * len(search.heuristics)
        found.setdefault(key, Step(key, (count * settings["unseen"] * 0.4 + 100) * scale(search), lambda work: unseen(work, name, seed)))

    for name in PARTS[part]:
        add_unseen(name)
    if part == "g":
        weight = (2 * settings["rank_members"] * 0.4 + 1) * settings["rank_prompts"] * 2
        found[f"ranks-{seed}"] = Step(f"ranks-{seed}", weight, lambda work: rank_agreement(work, seed))
    return list(found.values())


def generations(search: Search, settings: dict[str, Any]) -> int:
    return search.generations if isinstance(search.generations, int) else int(settings[search.generations])


def front_size(search: Search) -> int:
    """About how many members a front has: nearly all that our rules find have a PSNR of their own."""
    return 20 if search.preset == "ecad-paper" or search.quality != "psnr" else 75


def scale(search: Search) -> float:
    """Time of an image relative to 64 x 64 pixels."""
    return 2.5 if search.size == 96 else 1


def perform(work: Work, step: Step) -> float:
    """Performs a step and writes its result; returns the seconds it took."""
    begin = time.monotonic()
    result = step.measure(work)
    seconds = time.monotonic() - begin
    write_json(work.path("results", f"{step.key}.json"), {"seconds": seconds, "result": result})
    return seconds


def result(work: Work, key: str) -> Any:
    """The result of a step that has been performed."""
    stored = work.result(key)
    if stored is None:
        raise PaperError(f"{work.folder}: the step {key} has no result yet")
    return stored["result"]


def members(work: Work, name: str, seed: int, prefix: int | None = None) -> list[Point]:
    """The front of a search, by default at its end, otherwise after some generations; points are named after their schedule files."""
    rows = result(work, f"{name}-{seed}.run")["evaluations"]
    return front(
        Point(row["cost"], row["quality"], f"{name}-{seed}-{row['id']}") for row in rows if prefix is None or row["generation"] < prefix
    )


def run(work: Work, name: str, seed: int) -> dict[str, Any]:
    search = SEARCHES[name]
    key = f"{name}-{seed}"
    folder = work.search(
        key, seed, model=search.model, cost=search.cost, quality=search.quality, preset=search.preset, size=search.size,
        prompts=work.prompts("shapes-calibration.txt", search.prompts), seeds_per_prompt=search.seeds_per_prompt,
        generations=generations(search, work.settings),
        warm_start=work.path("runs", f"{search.warm_start}-{seed}") if search.warm_start else None,
    )  # fmt: skip
    evaluations = work.query(
        key, folder, "SELECT c.id, c.generation, e.cost, e.quality, e.images FROM evaluations e JOIN candidates c ON c.id = e.candidate_id "
        "WHERE e.evaluation_set = 'calibration' AND c.generation IS NOT NULL ORDER BY c.id",
    )  # fmt: skip
    probes = work.query(key, folder, "SELECT coalesce(sum(image_equivalents), 0) AS images FROM reuse_errors")
    return {"evaluations": evaluations, "probe_images": probes[0]["images"]}


def schedule_file(work: Work, label: str) -> pathlib.Path:
    """The file of a candidate, from the name of its point."""
    key, _, id = label.rpartition("-")
    return work.candidate(work.path("runs", key), int(id))


def unseen(work: Work, name: str, seed: int) -> dict[str, Any]:
    search = SEARCHES[name]
    wanted = [point.name for prefix in (None, *search.prefixes) for point in members(work, name, seed, prefix)]
    wanted += [point.name for source in search.transfers for point in members(work, source, seed)]
    files = [schedule_file(work, label) for label in dict.fromkeys(wanted)]
    files += [work.heuristic(heuristic, search.model) for setting in search.heuristics for heuristic in work.settings[setting]]
    prompts = work.prompts("shapes-benchmark.txt", work.settings["unseen"])
    return work.benchmark(f"{name}-{seed}", work.path("runs", f"{name}-{seed}"), prompts, files)


def spread(points: list[Point], count: int) -> list[Point]:
    """Some of the points, at equal distances along the front, its ends included."""
    if len(points) <= count:
        return points
    return [points[round(index * (len(points) - 1) / (count - 1))] for index in range(count)]


def rank_agreement(work: Work, seed: int) -> dict[str, Any]:
    """Scores and Frechet distances of members of two fronts and of heuristics, on all prompts of the benchmark."""
    name = "alpha-latency-psnr"
    chosen = [point.name for source in (name, "alpha-latency-reward") for point in spread(members(work, source, seed), work.settings["rank_members"])]
    files = [schedule_file(work, label) for label in chosen]
    files += [work.heuristic(heuristic, ALPHA) for setting in ("fora", "tgate") for heuristic in work.settings[setting]]
    prompts = work.prompts("shapes-benchmark.txt", work.settings["rank_prompts"])
    measured = work.benchmark(f"{name}-{seed}", work.path("runs", f"{name}-{seed}"), prompts, files)
    drawings = PROMPTS / "shapes-benchmark"
    measured[UNCACHED]["scores"][FRECHET] = -work.frechet("images", ALPHA, prompts, None, [drawings])[0]
    for file in files:
        distances = work.frechet("images", ALPHA, prompts, file, [drawings, work.path("images", UNCACHED)])
        measured[file.stem]["scores"] |= {FRECHET: -distances[0], FRECHET_UNCACHED: -distances[1]}
    return measured
