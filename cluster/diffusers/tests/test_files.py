"""Schedule files: equal to what the engine reads, and refused where it refuses."""

from __future__ import annotations

import hashlib
import json
import pathlib
import random
import struct
import subprocess
from typing import Any

import conftest
import pytest

from ecad_diffusers import Schedule, ScheduleError, Shape, load_schedule, read_schedules, save_schedule
from ecad_diffusers.masks import export, step_mask

SHAPES = [Shape(False, 4, 0, 7), Shape(True, 2, 3, 5), Shape(True, 0, 2, 3), Shape(True, 2, 0, 4)]


def some_schedule(shape: Shape, seed: int, gate: int | None = None) -> Schedule:
    draw = random.Random(seed)
    bits = [draw.random() < 0.5 for _ in range(shape.genes)]
    if gate is not None:
        bits[gate * shape.genes_per_step : (gate + 1) * shape.genes_per_step] = [True] * shape.genes_per_step
    return Schedule(shape, tuple(bits), gate, f"name {seed} \N{SNOWMAN}")


def info(ecad: pathlib.Path, path: pathlib.Path) -> list[dict[str, Any]] | None:
    """What the engine reads, None if it refuses the file."""
    result = subprocess.run([ecad, "schedule", "info", path, "--json"], capture_output=True, text=True)
    assert result.returncode in (0, 1), result.stderr
    if result.returncode:
        return None
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_formats_read_as_the_engine_reads_them(shape: Shape, ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    schedules = [some_schedule(shape, seed, 2 if seed == 2 and not shape.flux else None) for seed in range(3)]
    files = [conftest.write_published(schedule, tmp_path / f"{index}.json") for index, schedule in enumerate(schedules)]
    compact = tmp_path / "front.ecad"
    subprocess.run([ecad, "schedule", "convert", *files, "-o", compact], check=True, capture_output=True)
    assert [entry.schedule for entry in read_schedules(compact)] == schedules
    assert load_schedule(compact, 1) == schedules[1]
    for file, schedule in zip(files, schedules):
        assert load_schedule(file) == schedule
        rows = info(ecad, file)
        assert rows is not None
        assert (rows[0]["genome_sha256"], rows[0]["recomputed"]) == (schedule.genome_sha256, sum(schedule.bits))
    for entry in (None, 3, -1):
        with pytest.raises(ScheduleError, match="expected 0 to 2"):
            load_schedule(compact, entry)


def test_saved_schedules_are_read_again_with_their_gate(ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for seed, shape in enumerate(SHAPES):
        schedule, path = some_schedule(shape, seed, None if shape.flux else 3), tmp_path / f"{seed}.json"
        save_schedule(schedule, str(path))
        assert load_schedule(path) == schedule
        rows = info(ecad, path)
        assert rows is not None and rows[0]["genome_sha256"] == schedule.genome_sha256
    for name, message in (("front.ecad", "expected a name that ends in .json"), ("no/fora.json", "fora.json: cannot be written: No such file"), ("fora", "ends in .json")):
        with pytest.raises(ScheduleError, match=message):
            save_schedule(schedule, tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; expected a JSON schedule"),
        (b" \n", "the file is empty; expected a JSON schedule"),
        (b"<!DOCTYPE html>\n<html>", "begins with '<!DOCTYPE html>.n<htm'; expected a JSON schedule as ECAD publishes it, or a compact file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "begins with 'version https://git-'; expected"),
        (b"\x89PNG\r\n\x1a\n", "expected a JSON schedule"),
        (b'{"_class_name": "PixArtAlphaPipeline"}', "cache_schedule is missing; expected a schedule as ECAD publishes it"),
        (b"[1, 2]", "the document is an array; expected an object"),
    ],
)
def test_files_of_something_else_say_what_is_expected(content: bytes, message: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "fast.json"
    path.write_bytes(content)
    with pytest.raises(ScheduleError, match=message) as raised:
        load_schedule(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_schedules_by_hand_are_checked_and_printed_in_one_line() -> None:
    shape = Shape(False, 2, 0, 4)
    schedule = Schedule.fora(shape, 2)
    assert Schedule(shape, tuple(int(bit) for bit in schedule.bits), name=schedule.name) == schedule  # type: ignore[misc]
    assert str(schedule) == "recompute_all_every_002: 2 PixArt blocks x 4 steps, recomputes 12 of 24 component outputs"
    assert str(Schedule(shape, (True,) * 24, 2)).endswith("recomputes 20 of 24 component outputs, TGATE at step 2")
    assert len(repr(schedule)) < 150
    for gene in ("0", 0.5, None):
        with pytest.raises(ScheduleError, match="gene 23 of the schedule is .*; expected True or False"):
            Schedule(shape, schedule.bits[:-1] + (gene,))  # type: ignore[operator]
    for steps in (0, 1001, "20", 2.5):
        with pytest.raises(ScheduleError, match="steps is .*; expected an integer from 1 to 1000"):
            Shape(False, 2, 0, steps)  # type: ignore[arg-type]
    for interval in (0, 2.5, "3"):
        with pytest.raises(ScheduleError, match="interval is .*; expected an integer of at least 1"):
            Schedule.fora(shape, interval)  # type: ignore[arg-type]


def mutations(document: dict[str, Any], draw: random.Random) -> bytes:
    """The document with one random change of its structure or its text."""
    text = json.dumps(document)
    if draw.random() < 0.3:
        position = draw.randrange(len(text))
        data = bytearray(text.encode())
        data[position] = draw.choice(b'{}[]",:0159.eE-+ \\tfn\x00\xff\n')
        return bytes(data)
    value = json.loads(text)
    node: Any = value
    while True:
        key = draw.choice(list(node))
        if isinstance(node[key], dict) and node[key] and draw.random() < 0.75:
            node = node[key]
            continue
        break
    change = draw.randrange(4)
    replacement = draw.choice([None, True, False, 0, 1, 2, 7, -1, 2.5, 1e30, "x", "", [], {}, {"gate_step": 2}, {"name": "compute_attn_tgate"}, 10**25, "tgate"])
    if change == 0:
        del node[key]
    elif change == 1:
        node[key] = replacement
    elif change == 2:
        node[draw.choice(["config", "pipeline", "kwargs", "custom_compute_attn", "custom_compute_ff", "7", "003", "single_1", "height", "name", "dit_schedule"])] = replacement
    else:
        node[draw.choice(["+1", "1", "0x", "\u0661", "1000", "99999999999999999999"])] = node.pop(key)
    return json.dumps(value).encode()


@pytest.mark.parametrize("number", range(3))
def test_damaged_published_files_are_refused_where_the_engine_refuses_them(number: int, ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shape = (Shape(False, 2, 0, 3), Shape(False, 2, 0, 3), Shape(True, 1, 2, 2))[number]
    document = conftest.published(some_schedule(shape, number, 2 if number == 1 else None), {"height": 64, "guidance_scale": 4.5, "transformer_weights": "x"})
    draw = random.Random(number)
    refused = 0
    path = tmp_path / "schedule.json"
    for _ in range(150):
        path.write_bytes(mutations(document, draw))
        rows = info(ecad, path)
        try:
            schedule = load_schedule(path)
        except ScheduleError as error:
            assert rows is None, f"only refused here: {error}: {path.read_text(errors='replace')[:1500]}"
            assert "\n" not in str(error)
            refused += 1
        else:
            assert rows is not None, f"only refused by the engine: {path.read_text(errors='replace')[:1500]}"
            assert rows[0]["genome_sha256"] == schedule.genome_sha256
            assert rows[0]["step_mask"] == step_mask(schedule).exact
    assert 20 < refused < 150


def test_damaged_compact_files_are_refused_where_the_engine_refuses_them(ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    files = [conftest.write_published(some_schedule(SHAPES[0], seed, 2 if seed else None), tmp_path / f"{seed}.json") for seed in range(2)]
    path = tmp_path / "front.ecad"
    subprocess.run([ecad, "schedule", "convert", *files, "-o", path], check=True, capture_output=True)
    intact = path.read_bytes()
    draw = random.Random(0)
    refused = 0
    for number in range(250):
        data = bytearray(intact[:-32])
        for _ in range(draw.choice([1, 1, 2])):
            data[draw.randrange(8 if number % 5 else 0, min(len(data), 400))] = draw.choice([0, 1, 2, 3, 255, draw.randrange(256)])
        # Most files have a valid checksum, so that the fields behind it are read.
        path.write_bytes(bytes(data) + (hashlib.sha256(data).digest() if number % 10 else intact[-32:]))
        rows = info(ecad, path)
        try:
            hashes = [entry.schedule.genome_sha256 for entry in read_schedules(path)]
        except ScheduleError as error:
            assert rows is None, f"only refused here: {error}"
            assert "\n" not in str(error)
            refused += 1
        else:
            assert rows is not None and [row["genome_sha256"] for row in rows] == hashes
    assert refused > 50
    for count in range(0, len(intact), 97):
        path.write_bytes(intact[:count])
        with pytest.raises(ScheduleError):
            load_schedule(path, 0)


def test_a_file_written_from_the_format_description_alone(ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Two bits per gene, which the engine never writes but must read."""
    schedule = some_schedule(Shape(False, 2, 0, 3), 1)

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value.encode())) + value.encode()

    data = b"\x89ECAD\r\n\x1a" + struct.pack("<HBB", 1, 2, 0) + bytes(32) + struct.pack("<HHHHI", 0, 2, 0, 3, 1)
    data += text("macs") + text("psnr") + text("a test")
    data += struct.pack("<Hdd", 0, 0.5, float("nan")) + text("one") + text("{}")
    data += sum(bit << 2 * gene for gene, bit in enumerate(schedule.bits)).to_bytes((2 * 18 + 7) // 8, "little")
    path = tmp_path / "two.ecad"
    path.write_bytes(data + hashlib.sha256(data).digest())
    (entry,) = read_schedules(path)
    assert entry.schedule.bits == schedule.bits and entry.schedule.name == "one"
    assert (entry.cost, entry.quality) == (0.5, None)
    rows = info(ecad, path)
    assert rows is not None and rows[0]["genome_sha256"] == schedule.genome_sha256


def test_the_engine_finds_the_same_step_masks(ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shape = Shape(False, 3, 0, 6)
    fora = Schedule.fora(shape, 2)
    bits = (False,) * shape.genes_per_step + fora.bits[shape.genes_per_step :]
    for expected, schedule in (
        (True, fora), (True, Schedule(shape, bits)), (True, Schedule(shape, bits, 6)), (False, Schedule(shape, (True,) * shape.genes, 3)),
        (False, Schedule(shape, fora.bits[:-1] + (not fora.bits[-1],))), (True, Schedule.fora(Shape(True, 1, 2, 5), 3)),
    ):  # fmt: skip
        rows = info(ecad, conftest.write_published(schedule, tmp_path / "schedule.json"))
        assert rows is not None and rows[0]["step_mask"] == step_mask(schedule).exact == expected


def test_step_masks() -> None:
    shape = Shape(True, 2, 3, 7)
    text, mask = export(Schedule.fora(shape, 3), "cache-dit", nearest=False)
    assert json.loads(text)["cache_config"]["steps_computation_mask"] == [1, 0, 0, 1, 0, 0, 1]
    assert mask.exact
    text, _ = export(Schedule.fora(shape, 2), "stable-diffusion.cpp", nearest=False)
    assert "--scm-mask 1,0,1,0,1,0,1 --scm-policy static" in text and "--steps 7" in text
    random_one = some_schedule(shape, 1)
    with pytest.raises(ScheduleError, match="--nearest"):
        export(random_one, "cache-dit", nearest=False)
    # No other step mask is nearer.
    nearest = step_mask(random_one)
    row, bits = shape.genes_per_step, random_one.effective

    def distance(mask: int) -> int:
        return sum(bits[gene] != bool(mask >> gene // row & 1) for gene in range(shape.genes))

    assert nearest.recomputed_more + nearest.reused_more == min(distance(mask | 1) for mask in range(0, 2**7, 2))
    gated = step_mask(some_schedule(Shape(False, 2, 0, 5), 0, gate=2))
    assert not gated.exact and "guidance does not end" in gated.loss
    with pytest.raises(ScheduleError, match="does not run PixArt"):
        export(Schedule.uncached(Shape(False, 2, 0, 5)), "stable-diffusion.cpp", nearest=False)


def test_version_is_that_of_the_programs() -> None:
    import ecad_diffusers

    source = (conftest.REPOSITORY / "Sources" / "ProgramSupport" / "Program.swift").read_text()
    assert f'version = "{ecad_diffusers.__version__}"' in source
    project = (pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{ecad_diffusers.__version__}"' in project
