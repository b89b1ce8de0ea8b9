"""Tests of verdicts, the report and the work directory, with files and processes but without the project's programs."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from paper.programs import PaperError, Work
from paper.report import Part, Row, document, markdown
from paper.steps import FULL, PARTS, QUICK, SEARCHES, Step, perform, result, steps


class RowTests(unittest.TestCase):
    def test_a_claim_holds_only_if_the_whole_interval_is_above_the_bound(self) -> None:
        self.assertEqual(Row("", [1.0, 1.1, 1.2], above=0).verdict, "holds")
        self.assertEqual(Row("", [-1.0, -1.1, -1.2], above=0).verdict, "**does not hold**")
        self.assertEqual(Row("", [-1.0, 1.0, 0.5], above=0).verdict, "**not shown**: the interval contains 0")
        self.assertEqual(Row("", [96.0, 97.0, 98.0], above=95).verdict, "**not shown**: the interval contains 95")
        self.assertEqual(Row("", [1.0, 1.1]).verdict, "")

    def test_one_seed_has_no_interval_and_says_so(self) -> None:
        self.assertEqual(Row("x", [1.0], "dB", above=0).cells(), ["x", "1.00 dB", "", "1", "above 0, one seed"])
        self.assertEqual(Row("x", [-1.0], above=0).verdict, "**not above** 0, one seed")

    def test_a_row_without_values_is_not_a_number(self) -> None:
        self.assertEqual(Row("x", [], above=0).cells()[1:], ["", "", "0", "no schedule is as cheap"])
        with self.assertRaises(ValueError):
            Row("x", [float("nan")]).cells()

    def test_report_names_unfinished_parts(self) -> None:
        parts = [Part("a", "first", [Row("x", [1, 2, 3], digits=1)], 3, True), Part("b", "second", [Row("y", [1])], 1, False)]
        lines = markdown(parts, "text").splitlines()
        self.assertEqual(lines[4:6], ["| **(a) first** | | | | |", "| x | 2.0 | −0.5 to 4.5 | 3 |  |"])
        self.assertIn("*Unfinished: 1 seed so far.*", lines[6])
        self.assertEqual(json.loads(json.dumps(document(parts, steps=20)))["parts"][0]["rows"][0]["values"], [1, 2, 3])


class StepTests(unittest.TestCase):
    def test_every_source_comes_before_what_uses_it(self) -> None:
        for settings in (FULL, QUICK):
            for part in PARTS:
                keys = [step.key for step in steps(part, 3, settings)]
                self.assertEqual(len(keys), len(set(keys)))
                for key in keys:
                    name, _, kind = key.rpartition(".")
                    search = SEARCHES.get(name.removesuffix("-3"))
                    for source in filter(None, [search.warm_start, *search.transfers] if search else []):
                        self.assertLess(keys.index(f"{source}-3.run"), keys.index(key))
                    if kind == "unseen":
                        self.assertLess(keys.index(f"{name}.run"), keys.index(key))


class WorkTests(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for program in ("ecad", "ecad-coordinator", "ecad-worker"):
            (self.bin / program).symlink_to("/bin/sh")

    def test_a_result_is_kept_and_other_settings_are_refused(self) -> None:
        with Work(self.folder / "work", self.bin, {"steps": 20}) as work:
            perform(work, Step("x", 1, lambda work: {"value": work.settings["steps"]}))
        with Work(self.folder / "work", self.bin, {"steps": 20}) as work:
            self.assertEqual(result(work, "x"), {"value": 20})
        with self.assertRaisesRegex(PaperError, "settings.json: steps is 20, now 6; expected the same settings"):
            Work(self.folder / "work", self.bin, {"steps": 6})

    def test_a_failed_program_is_one_line_with_its_log(self) -> None:
        with Work(self.folder / "work", self.bin, {}) as work:
            with self.assertRaisesRegex(PaperError, r"ecad -c ended with status 3; .*logs/x.log: reason$"):
                work.run("x", "ecad", "-c", "echo first >&2; echo reason >&2; exit 3")
            self.assertEqual(work.run("x", "ecad", "-c", "echo output; echo log >&2"), "output\n")

    def test_programs_end_with_a_killed_process_and_hold_the_lock_until_then(self) -> None:
        code = (
            "import pathlib, sys; from paper.programs import Work; folder = pathlib.Path(sys.argv[1]);"
            "work = Work(folder / 'work', folder / 'bin', {});"
            "work.run('x', 'ecad', '-c', 'trap \"sleep 1; echo done > done; exit\" TERM; echo > ready; while :; do sleep 0.1; done')"
        )
        environment = {"PYTHONPATH": str(pathlib.Path(__file__).parents[1])}
        process = subprocess.Popen([sys.executable, "-c", code, self.folder], cwd=self.folder, env=environment)
        while not (self.folder / "ready").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        process.kill()
        process.wait()
        with Work(self.folder / "work", self.bin, {}):
            self.assertEqual((self.folder / "done").read_text(), "done\n")


if __name__ == "__main__":
    unittest.main()
