"""Tests of what the parts compute from results, with results made by hand."""

import pathlib
import tempfile
import unittest
from typing import Any

from paper.parts import CLAIMS, Results
from paper.programs import UNCACHED, Work, write_json
from paper.steps import FRECHET, FRECHET_UNCACHED, PARTS, QUICK, SEARCHES, SHORT, steps


def entry(cost: float, psnr: float, reward: float = 0.5) -> dict[str, Any]:
    scores = {"psnr": psnr, "latent-error": psnr / 100 - 1, "image-reward": reward, "image-reward-clipped": reward - 0.1, "clip": 20 + psnr / 10}
    return {"cost": cost, "macs": cost, "latency": cost, "modelled": cost, "images": 6, "scores": scores}


class PartTests(unittest.TestCase):
    """All searches found the same three schedules, worse by the seed's number in dB; Sigma's own front is 2 dB better than alpha's there."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        folder = pathlib.Path(scratch.name)
        for program in ("ecad", "ecad-coordinator", "ecad-worker"):
            (folder / program).symlink_to("/bin/sh")
        self.work = Work(folder / "work", folder, QUICK)
        self.addCleanup(self.work.__exit__, None, None, None)
        for seed in (1, 2, 3):
            for part in PARTS:
                for step in steps(part, seed, QUICK):
                    write_json(self.work.path("results", f"{step.key}.json"), {"seconds": 1, "result": self.result(step.key, seed)})
        self.results = Results(self.work, [1, 2, 3])

    def result(self, key: str, seed: int) -> Any:
        name = key.partition(f"-{seed}.")[0]
        points = {1: (0.6, 40 - seed, 1), 2: (0.45, 30 - seed, 0), 3: (0.3, 20 - seed, SHORT)}
        if key.endswith(".run"):
            rows = [{"id": id, "generation": generation, "cost": cost, "quality": psnr, "images": 8} for id, (cost, psnr, generation) in points.items()]
            return {"evaluations": rows, "probe_images": 4}
        measured = {"fora-2": entry(0.5, 25), "fora-3": entry(0.35, 21), "tgate-3-1": entry(0.65, 30), "tgate-3-2": entry(0.2, 10), UNCACHED: entry(1, 100, 0.8)}
        sources = ["alpha-latency-psnr", "alpha-latency-reward"] if key.startswith("ranks") else [name, *SEARCHES[name].transfers]
        for source in sources:
            better = 2 if source == name and name.startswith("sigma") else 0
            measured |= {f"{source}-{seed}-{id}": entry(cost, psnr - 1 + better) for id, (cost, psnr, _) in points.items()}
        for row in measured.values():
            row["scores"] |= {FRECHET: row["scores"]["psnr"] / 10, FRECHET_UNCACHED: -row["cost"]}
        return measured

    def test_a_front_is_compared_at_the_cost_of_the_heuristic(self) -> None:
        # At 0.5 the front offers 30 - seed - 1 dB for 0.45, at 0.35 20 - seed - 1 for 0.3, at 0.2 nothing.
        self.assertEqual(self.results.each(lambda seed: self.results.gain("alpha-latency-psnr", seed, ["fora-2"])), [3, 2, 1])
        self.assertEqual(self.results.gain("alpha-latency-psnr", 1, ["fora-2", "fora-3"]), (3 - 3) / 2)
        self.assertIsNone(self.results.gain("alpha-latency-psnr", 1, ["tgate-3-2"]))
        self.assertEqual(self.results.gain("alpha-latency-psnr", 1, ["tgate-3-1", "tgate-3-2"]), 8)

    def test_hypervolumes_of_whole_and_earlier_fronts_on_both_prompt_sets(self) -> None:
        self.assertAlmostEqual(self.results.volume("alpha", 1), 0.35 * 38 + 0.15 * 28 + 0.15 * 18)
        self.assertAlmostEqual(self.results.volume("alpha", 1, SHORT), 0.35 * 38 + 0.15 * 28)
        self.assertAlmostEqual(self.results.volume("sigma", 1, source="alpha"), self.results.volume("alpha", 1))
        self.assertAlmostEqual(self.results.volume("sigma", 1), 0.35 * 40 + 0.15 * 30 + 0.15 * 20)
        self.assertAlmostEqual(self.results.calibration_volume("alpha", 1, 1), 0.35 * 39)
        self.assertEqual((self.results.images("alpha", 1, 2), self.results.images("alpha", 1)), (4 + 16, 4 + 24))

    def test_claims_that_do_not_hold_are_said_plainly(self) -> None:
        rows = {row.text: row for row in CLAIMS["d"][1](self.results)}
        row = rows["ours: as it is − from scratch, 12 schedules"]
        # Alpha's whole front against Sigma's first two generations: 0.15 * (19 - seed) less 2 * 0.5.
        for value, seed in zip(row.values, (1, 2, 3), strict=True):
            self.assertAlmostEqual(value, 0.15 * (19 - seed) - 2 * 0.5)
        self.assertEqual(row.verdict, "holds")
        rows = {row.text: row for row in CLAIMS["e"][1](self.results)}
        row = rows["front of 64 pixels − front found at 96 pixels"]
        for value in row.values:
            self.assertAlmostEqual(value, -2 * 0.65)
        self.assertEqual(row.verdict, "**does not hold**")

    def test_every_part_gives_rows(self) -> None:
        for part, (_, rows) in CLAIMS.items():
            found = rows(self.results)
            self.assertTrue(found, part)
            for row in found:
                self.assertEqual(len(row.cells()), 5)

    def test_rank_agreement_leaves_the_uncached_schedule_out(self) -> None:
        rows = {row.text: row for row in CLAIMS["g"][1](self.results)}
        self.assertEqual(rows["PSNR, Frechet distance to drawings of the prompts"].values, [1, 1, 1])
        self.assertLess(max(rows["PSNR, Frechet distance to the uncached images"].values), 0)


if __name__ == "__main__":
    unittest.main()
