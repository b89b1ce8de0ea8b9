"""The claims, and the rows that test them: everything here is computed from the results of finished steps."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .measures import Point, hypervolume, pick, spearman
from .programs import UNCACHED, Work
from .report import Row
from .steps import FRECHET, FRECHET_UNCACHED, SHORT, generations, members, result, SEARCHES

SPEEDS = (2.0, 2.5, 3.0)
FURTHER = (4.0, 6.0)
"""Speed-ups of which the paper claims nothing."""
FAMILIES = {"fora": "FORA", "tgate": "TGATE"}
KEPT = 95.0
"""Percent of a quality that count as kept."""
REFERENCE_COST = 0.95
"""Of hypervolumes: a schedule that reuses a single output costs nearly 1, reaches almost 100 dB and would dominate them."""
REWARD, CLIPPED, PSNR = "image-reward", "image-reward-clipped", "psnr"
RANKED = {PSNR: "PSNR", "latent-error": "latent error", REWARD: "Image Reward", CLIPPED: "clipped reward", "clip": "CLIP score"}


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of the seeds for which a part is completely measured."""

    work: Work
    seeds: Sequence[int]

    def each(self, value: Callable[[int], float | None]) -> list[float]:
        """A quantity for every seed that has it."""
        return [found for seed in self.seeds if (found := value(seed)) is not None]

    def unseen(self, name: str, seed: int) -> dict[str, Any]:
        """Measurements on unseen prompts in a search's run, by schedule."""
        measured = result(self.work, f"{name}-{seed}.unseen")
        assert isinstance(measured, dict)
        return measured

    def points(self, name: str, seed: int, chosen: Iterable[Point], scorer: str = PSNR) -> list[Point]:
        """Cost and score on unseen prompts of schedules measured in a search's run."""
        measured = self.unseen(name, seed)
        return [Point(measured[point.name]["cost"], measured[point.name]["scores"][scorer], point.name) for point in chosen]

    def volume(self, name: str, seed: int, prefix: int | None = None, source: str | None = None) -> float:
        """Hypervolume on unseen prompts: of a search's front, after some generations or at its end, or of another search's front."""
        return hypervolume(self.points(name, seed, members(self.work, source or name, seed, prefix)), REFERENCE_COST, 0)

    def quality_at(self, name: str, seed: int, cost: float, scorer: str = PSNR, prefix: int | None = None, source: str | None = None) -> float | None:
        """Score on unseen prompts of the schedule that the front offers for a cost, chosen by the calibration prompts."""
        chosen = pick(members(self.work, source or name, seed, prefix), cost)
        return chosen and self.points(name, seed, [chosen], scorer)[0].quality

    def gain(self, name: str, seed: int, heuristics: Sequence[str], scorer: str = PSNR, source: str | None = None) -> float | None:
        """Mean over heuristics of what a front scores above them at equal cost; None if it has nothing as cheap as any of them."""
        measured = self.unseen(name, seed)
        gains = []
        for heuristic in heuristics:
            ours = self.quality_at(name, seed, measured[heuristic]["cost"], scorer, source=source)
            if ours is not None:
                gains.append(ours - measured[heuristic]["scores"][scorer])
        return statistics.fmean(gains) if gains else None

    def evaluations(self, name: str, seed: int) -> list[dict[str, Any]]:
        found = result(self.work, f"{name}-{seed}.run")["evaluations"]
        assert isinstance(found, list)
        return found

    def images(self, name: str, seed: int, count: int | None = None) -> float:
        """Images that a search generated for its first schedules, or all, the measurement of reuse errors in uncached images included."""
        probes = result(self.work, f"{name}-{seed}.run")["probe_images"]
        return float(probes + sum(row["images"] for row in self.evaluations(name, seed)[:count]))

    def calibration_volume(self, name: str, seed: int, count: int | None = None) -> float:
        """Hypervolume on the calibration prompts of the first schedules of a search, or all."""
        rows = self.evaluations(name, seed)[:count]
        return hypervolume((Point(row["cost"], row["quality"]) for row in rows), REFERENCE_COST, 0)


def over_heuristics(results: Results, name: str, rules: str, seeds: str, each: bool) -> list[Row]:
    """A front against FORA and TGATE, each schedule of them if asked for, and against the front of its initial seeds."""
    settings = results.work.settings
    rows = []
    for family, title in FAMILIES.items():
        for heuristic in settings[family] if each else []:
            measured = results.unseen(name, results.seeds[0])[heuristic]
            text = f"PSNR: {rules} − {title} {', '.join(heuristic.split('-')[1:])} ({1 / measured['cost']:.2f}x, {measured['scores'][PSNR]:.1f} dB)"
            rows.append(Row(text, results.each(lambda seed: results.gain(name, seed, [heuristic])), "dB", above=0))
        rows.append(Row(f"PSNR: {rules} − {title}, mean", results.each(lambda seed: results.gain(name, seed, settings[family])), "dB", above=0))

    def over_seeds(seed: int) -> float | None:
        pairs = [(results.quality_at(name, seed, 1 / x), results.quality_at(name, seed, 1 / x, prefix=1)) for x in SPEEDS]
        gains = [after - before for after, before in pairs if after is not None and before is not None]
        return statistics.fmean(gains) if gains else None

    return rows + [Row(f"PSNR: {rules} − its {seeds}, mean of 2x, 2.5x, 3x", results.each(over_seeds), "dB", above=0)]


def heuristics_and_seeds(results: Results) -> list[Row]:
    rows = over_heuristics(results, "alpha-latency-psnr", "front for PSNR", "initial seeds (of least predicted error)", each=True)
    for family, title in FAMILIES.items():
        gain = results.each(lambda seed: results.gain("alpha-latency-reward", seed, results.work.settings[family], CLIPPED))
        rows.append(Row(f"clipped reward: front for it − {title}, mean", gain, digits=3, above=0))
    return rows


def quality_kept(results: Results) -> list[Row]:
    def share(seed: int, speed: float, scorer: str) -> float | None:
        kept = results.quality_at("alpha-latency-reward", seed, 1 / speed, scorer)
        uncached = results.unseen("alpha-latency-reward", seed)[UNCACHED]["scores"][scorer]
        return 100 * kept / uncached if kept is not None and uncached > 0 else None

    def measured(seed: int, name: str, speed: float) -> float | None:
        chosen = pick(members(results.work, name, seed), 1 / speed)
        return 1 / results.unseen(name, seed)[chosen.name]["latency"] if chosen else None

    absence = "no schedule is as cheap, or the uncached reward is not above 0"
    rows = []
    for speed in SPEEDS + FURTHER:
        at, bound = f"{speed:g}x", KEPT if speed in SPEEDS else None
        rows += [
            Row(f"{at}: PSNR of the front for PSNR", results.each(lambda seed: results.quality_at("alpha-latency-psnr", seed, 1 / speed)), "dB"),
            Row(f"{at}: clipped reward kept by the front for it", results.each(lambda seed: share(seed, speed, CLIPPED)), "%", 1, bound, absence),
            Row(f"{at}: Image Reward kept by the same front", results.each(lambda seed: share(seed, speed, REWARD)), "%", 1, bound, absence),
            Row(f"{at}: measured speed-up of the schedule for PSNR", results.each(lambda seed: measured(seed, "alpha-latency-psnr", speed)), "x"),
            Row(f"{at}: measured speed-up of the schedule for the reward", results.each(lambda seed: measured(seed, "alpha-latency-reward", speed)), "x"),
        ]
    return rows


def rules_compared(results: Results) -> list[Row]:
    settings = results.work.settings
    population, total = settings["population"], settings["population"] * settings["paper_generations"]
    ours, theirs = "alpha", "alpha-paper"
    rows = []
    for count in sorted({1, 2, 3, settings["generations"]} & set(range(1, settings["generations"] + 1))):
        for name, rules in ((ours, "ours"), (theirs, "paper")):
            images = statistics.fmean(results.images(name, seed, count * population) for seed in results.seeds)
            values = results.each(lambda seed: results.calibration_volume(name, seed, count * population))
            rows.append(Row(f"hypervolume, {rules}: {count * population} schedules, {images:.0f} images", values))
    images = statistics.fmean(results.images(theirs, seed) for seed in results.seeds)
    rows.append(Row(f"hypervolume, paper: {total} schedules, {images:.0f} images", results.each(lambda seed: results.calibration_volume(theirs, seed))))
    rows.append(Row(
        f"paper: growth from {population} to {total} schedules",
        results.each(lambda seed: results.calibration_volume(theirs, seed) - results.calibration_volume(theirs, seed, population)), above=0,
    ))  # fmt: skip
    rows.append(Row(
        f"ours after {population} schedules − paper after {total}",
        results.each(lambda seed: results.calibration_volume(ours, seed, population) - results.calibration_volume(theirs, seed)), above=0,
    ))  # fmt: skip

    def images_needed(seed: int) -> float | None:
        goal = results.calibration_volume(theirs, seed)
        for count in range(1, len(results.evaluations(ours, seed)) + 1):
            if results.calibration_volume(ours, seed, count) >= goal:
                return 100 * results.images(ours, seed, count) / results.images(theirs, seed)
        return None

    rows.append(Row(f"images with which ours reaches the paper's {total} schedules", results.each(images_needed), "% of its images", 1))
    end = settings["generations"] * population
    rows.append(Row(
        f"unseen prompts: ours after {end} schedules − paper after {total}",
        results.each(lambda seed: results.volume(ours, seed) - results.volume(theirs, seed)), above=0,
    ))  # fmt: skip
    return rows + over_heuristics(results, theirs, f"paper after {total}", "initial seeds (FORA and random)", each=False)


def variants(results: Results) -> list[Row]:
    settings = results.work.settings
    rows = []
    for scratch, warm, source, rules in (("sigma", "sigma-warm", "alpha", "ours"), ("sigma-paper", "sigma-paper-warm", "alpha-paper", "paper")):
        count = settings["population"] * SHORT
        as_is = results.each(lambda seed: results.volume(scratch, seed, source=source))
        short = results.each(lambda seed: results.volume(scratch, seed, SHORT))
        warmed = results.each(lambda seed: results.volume(warm, seed))
        rows += [
            Row(f"{rules}: alpha's front as it is", as_is),
            Row(f"{rules}: from scratch, {count} schedules", short),
            Row(f"{rules}: warm start, {count} schedules", warmed),
        ]
        if generations(SEARCHES[scratch], settings) > SHORT:
            full = results.each(lambda seed: results.volume(scratch, seed))
            share = [100 * a / b for a, b in zip(as_is, full)]
            rows.append(Row(f"{rules}: from scratch, {settings['population'] * settings['generations']} schedules", full))
            rows.append(Row(f"{rules}: alpha's front as it is, share of the latter", share, "%", 1, KEPT))
        fora = results.each(lambda seed: results.gain(scratch, seed, settings["fora"], source=source))
        rows += [
            Row(f"{rules}: as it is − from scratch, {count} schedules", [a - b for a, b in zip(as_is, short)], above=0),
            Row(f"{rules}: warm start − from scratch, {count} schedules each", [a - b for a, b in zip(warmed, short)], above=0),
            Row(f"{rules}: PSNR of alpha's front as it is − FORA on Sigma, mean", fora, "dB", above=0),
        ]
    return rows


def resolutions(results: Results) -> list[Row]:
    moved = results.each(lambda seed: results.volume("sigma-96", seed, source="sigma"))
    own = results.each(lambda seed: results.volume("sigma-96", seed))
    fora = results.each(lambda seed: results.gain("sigma-96", seed, results.work.settings["fora"], source="sigma"))
    return [
        Row("front of 64 pixels at 96 pixels", moved),
        Row("front found at 96 pixels", own),
        Row("share of the hypervolume", [100 * a / b for a, b in zip(moved, own)], "%", 1, KEPT),
        Row("front of 64 pixels − front found at 96 pixels", [a - b for a, b in zip(moved, own)], above=0),
        Row("PSNR of the front of 64 pixels − FORA at 96 pixels, mean", fora, "dB", above=0),
    ]


def calibration_sets(results: Results) -> list[Row]:
    population = results.work.settings["population"]
    rows, volumes = [], {}
    for name, prompts, prefix in (
        ("alpha-3x1", "3 prompts x 1 seed", None), ("alpha-3x3", "3 prompts x 3 seeds", None), ("alpha", "8 prompts x 1 seed", None),
        ("alpha", "8 prompts x 1 seed", SHORT), ("alpha-8x3", "8 prompts x 3 seeds", None), ("alpha-8x3", "8 prompts x 3 seeds", SHORT),
    ):  # fmt: skip
        values = results.each(lambda seed: results.volume(name, seed, prefix))
        volumes[name, prefix] = values
        count = prefix and prefix * population
        images = statistics.fmean(results.images(name, seed, count) for seed in results.seeds)
        schedules = count or len(results.evaluations(name, results.seeds[0]))
        rows.append(Row(f"{prompts}, {schedules} schedules, {images:.0f} images", values))
        per_image = [1000 * value / results.images(name, seed, count) for value, seed in zip(values, results.seeds)]
        rows.append(Row(f"{prompts}, {schedules} schedules: per 1000 images", per_image))

    def difference(text: str, a: tuple[str, int | None], b: tuple[str, int | None]) -> Row:
        return Row(text, [x - y for x, y in zip(volumes[a], volumes[b])], above=0)

    return rows + [
        difference("as many schedules: 8 prompts − 3 prompts, 1 seed each", ("alpha", None), ("alpha-3x1", None)),
        difference("as many schedules: 3 seeds − 1 seed, 8 prompts", ("alpha-8x3", None), ("alpha", None)),
        difference("as many schedules: 3 seeds − 1 seed, 3 prompts", ("alpha-3x3", None), ("alpha-3x1", None)),
        difference("about as many images: 8 x 1 − 3 x 3", ("alpha", None), ("alpha-3x3", None)),
        difference("as many images: 8 x 1 − 8 x 3 with a third of the schedules", ("alpha", None), ("alpha-8x3", SHORT)),
        difference("about as many images: 8 x 1 with a third of the schedules − 3 x 1", ("alpha", SHORT), ("alpha-3x1", None)),
    ]


def rank_agreement(results: Results) -> list[Row]:
    def scores(seed: int, costs: tuple[float, float]) -> list[dict[str, float]]:
        measured = result(results.work, f"ranks-{seed}")
        return [row["scores"] for name, row in measured.items() if name != UNCACHED and costs[0] <= row["cost"] <= costs[1]]

    def agreement(seed: int, a: str, b: str, costs: tuple[float, float] = (0, 2)) -> float | None:
        chosen = scores(seed, costs)
        return spearman([row[a] for row in chosen], [row[b] for row in chosen])

    rows = []
    for scorer, title in RANKED.items():
        values = results.each(lambda seed: agreement(seed, scorer, FRECHET))
        rows.append(Row(f"{title}, Frechet distance to drawings of the prompts", values, digits=3, above=0.5))
    for scorer, title in RANKED.items():
        values = results.each(lambda seed: agreement(seed, scorer, FRECHET_UNCACHED))
        rows.append(Row(f"{title}, Frechet distance to the uncached images", values, digits=3, above=0.5))
    for scorer, title in RANKED.items():
        if scorer != CLIPPED:
            rows.append(Row(f"{title}, clipped reward", results.each(lambda seed: agreement(seed, scorer, CLIPPED)), digits=3, above=0.5))
    middle = (0.25, 0.5)
    counts = sorted({len(scores(seed, middle)) for seed in results.seeds})
    count = " or ".join(map(str, counts))
    for scorer in (PSNR, REWARD, CLIPPED):
        values = results.each(lambda seed: agreement(seed, scorer, FRECHET, middle))
        text = f"only the {count} schedules of 2x to 4x: {RANKED[scorer]}, Frechet distance to drawings"
        rows.append(Row(text, values, digits=3, above=0.5, absence="fewer than two such schedules"))
    return rows


CLAIMS: dict[str, tuple[str, Callable[[Results], list[Row]]]] = {
    "a": ("The front is better than FORA, TGATE and the initial seeds at equal cost (unseen prompts, latency)", heuristics_and_seeds),
    "b": (f"Quality is kept at 2x, 2.5x and 3x: at least {KEPT:g} % of the uncached images' (unseen prompts, latency)", quality_kept),
    "c": ("The front grows with generations; with our rules it needs fewer images (PSNR, MACs; hypervolumes on the calibration prompts unless said)", rules_compared),
    "d": ("Alpha's front holds on Sigma, and is a good start there (hypervolume on unseen prompts, PSNR, MACs)", variants),
    "e": ("A front of the low resolution holds at the high one (hypervolume on unseen prompts, PSNR, MACs)", resolutions),
    "f": ("More prompts and seeds make a better calibration (hypervolume on unseen prompts, PSNR, MACs)", calibration_sets),
    "g": ("Cheap scores rank schedules as the Frechet distance does: Spearman above 0.5 (larger is better for all)", rank_agreement),
}
