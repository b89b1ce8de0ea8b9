import argparse
import contextlib
import io
import json
import math
import pathlib
import tempfile
import unittest

from . import presets


def fronts(*values: tuple[float, float]) -> presets.Fronts:
    """Fronts by what was spent and the hypervolume, the same for all prompts and costs."""
    return [
        {"schedules": spent, "calibration": {"whole": volume, "cached": volume}, "unseen": {"whole": volume, "cached": volume}}
        for spent, volume in values
    ]


class PresetsTests(unittest.TestCase):
    def test_needed(self):
        ours = fronts((6, 10), (8, 20), (480, 50))
        self.assertEqual(presets.needed(ours, 20, "unseen", "whole"), 8)
        self.assertEqual(presets.needed(ours, 51, "unseen", "whole"), math.inf)

    def test_report_pairs_searches_of_a_seed(self):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)

            def write(preset: str, seed: int, *values: tuple[float, float]) -> None:
                path = presets.Search("alpha", preset, seed).path(work)
                path.write_text("".join(json.dumps(front) + "\n" for front in fronts(*values)))

            write("default", 2, (10, 30), (480, 45))
            write("ecad-paper", 2, (480, 30))
            write("default", 3, (10, 30), (20, 40), (480, 47))
            write("ecad-paper", 3, (480, 40))
            write("default", 4, (10, 100), (480, 100))  # no partner
            lines = presets.report(work).splitlines()
            self.assertEqual(len(lines), 2 + len(presets.VIEWS))
            cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
            self.assertEqual(cells[:2] + cells[3:7], ["alpha", "ecad-paper", "15.0 (10.0 to 20.0)", "1/32", "35.00", "35.00"])
            self.assertEqual(cells[7:9], ["35.00", "46.00"])
            self.assertTrue(cells[9].startswith("+11.00 ("), cells[9])
            self.assertEqual(cells[10], "2")

    def test_seeds(self):
        self.assertEqual(presets.seeds("2-4"), [2, 3, 4])
        self.assertEqual(presets.seeds("7"), [7])
        for text in ("4-2", "0-3", "x", ""):
            with self.assertRaises(ValueError):
                presets.seeds(text)

    def test_searches_run_beside_each_other(self):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            program = work / "ecad"
            program.write_text('#!/bin/sh\nset -e\nhead -n 1 "$6" >/dev/null\nwhile [ "$1" != -o ]; do shift; done\necho "{}" >"$2"\n')
            program.chmod(0o755)
            options = argparse.Namespace(cases=["alpha", "reward"], seeds=presets.seeds("1-9"), against=["nsga2"], work=work, bin=work, jobs=8)
            with contextlib.redirect_stdout(io.StringIO()):
                presets.measure(options)
            self.assertEqual(len(list(work.glob("*.jsonl"))), 36)
            self.assertEqual(list(work.glob("*.part")), [])

    def test_prompts_are_bundled(self):
        with tempfile.TemporaryDirectory() as folder:
            for case in presets.CASES.values():
                lines = presets.prompt_file(pathlib.Path(folder), case.prompts).read_text().splitlines()
                self.assertEqual(len(set(lines)), 2 * presets.IMAGES)
                self.assertTrue((presets.MODELS / case.model / "model_index.json").exists())


if __name__ == "__main__":
    unittest.main()
