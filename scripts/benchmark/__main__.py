"""`scripts/bench.sh`: the parts of the comparison. Every part alternates the engine and diffusers, round by round."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy
import torch
from PIL import Image

from .engines import Engine, Model, Torch, attention, product
from .report import Report, Row

# Tokens x outputs x inputs of the largest products: PixArt at 256 and 1024 pixels with guidance and FLUX at 256 pixels.
PRODUCTS = [
    ("PixArt-256 q, k, v", 512, 3456, 1152), ("PixArt-256 projection", 512, 1152, 1152), ("PixArt-256 feed-forward in", 512, 4608, 1152),
    ("PixArt-256 feed-forward out", 512, 1152, 4608), ("FLUX-256 q, k", 768, 6144, 3072), ("FLUX-256 MLP", 768, 12288, 3072),
    ("FLUX-256 projection", 768, 3072, 15360), ("large", 2048, 4096, 2048),
]  # fmt: skip
ATTENTIONS = [("PixArt-256", 2, 16, 256, 72), ("PixArt-1024", 1, 16, 4096, 72), ("FLUX-256", 1, 24, 768, 128), ("FLUX-1024", 1, 24, 4608, 128)]
# Checkpoint, size in pixels, classifier-free guidance.
FORWARDS = {
    "pixart-block": ("pixart-block", 256, True),
    "pixart-256": ("pixart-256", 256, True),
    "pixart-1024": ("pixart-1024", 1024, False),
    "flux-256": ("flux", 256, False),
    "flux-1024": ("flux", 1024, False),
}
CHECKPOINTS = {
    "pixart-block": ["pixart-alpha-256", "--blocks", "1", "--text-blocks", "1"],
    "pixart-256": ["pixart-alpha-256", "--text-blocks", "1"],
    "pixart-1024": ["pixart-alpha-1024", "--text-blocks", "1"],
    "flux": ["flux-dev", "--blocks", "2", "--single-blocks", "4", "--text-blocks", "1", "--dtype", "bfloat16"],
}
PARTS = ["products", "attention", *FORWARDS, "decode-256", "end-to-end", "schedules-pixart", "schedules-flux", "fidelity", "fidelity-random", "memory"]
PROMPTS = [
    "a small red circle on a blue background", "a large green square", "a yellow triangle below a red circle", "two blue squares",
    "a photo of a cat on a wooden table", "a castle by the sea at sunset", "an astronaut riding a horse", "a bowl of fruit, oil painting",
]  # fmt: skip


def seconds_of(side: Engine | Torch) -> float:
    """The median of runs in succession: a short one alone measures the waking of threads, which the other side's have just kept from the processors."""
    runs = [side.seconds()]
    while sum(runs) < 0.2:
        runs.append(side.seconds())
    return statistics.median(runs)


class Bench:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.work: pathlib.Path = options.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.report = Report(self.work / options.report, machine())

    def checkpoint(self, name: str) -> pathlib.Path:
        """The folder of a random checkpoint, written on first use."""
        folder = self.work / name
        if not (folder / "model_index.json").exists():
            self.run_python("scripts/make_random_checkpoint.py", *CHECKPOINTS[name], "-o", folder)
        return folder

    def embeddings(self, model: pathlib.Path, name: str) -> pathlib.Path:
        file = self.work / f"{name}.safetensors"
        if not file.exists():
            (self.work / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
            self.ecad("embed", "--model", model, "--prompts", self.work / "prompts.txt", "-o", file)
        return file

    def run_python(self, *arguments: Any) -> None:
        subprocess.run([sys.executable, "-W", "ignore", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    def ecad(self, *arguments: Any) -> str:
        return subprocess.run([self.options.ecad, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout

    def compare(
        self, part: str, name: str, precision: str, threads: int, arguments: list[str], theirs: Callable[[], Torch] | None, operations: float | None = None
    ) -> None:
        """Alternating rounds after one of each to warm up."""
        engine = Engine(self.options.ecad, arguments, precision, threads)
        other = theirs() if theirs else None
        row = Row(part, name, precision, threads, [], operations=operations or engine.facts.get("operations"))
        if other:
            other.seconds()
        for _ in range(self.options.repeats):
            row.ours.append(seconds_of(engine))
            if other:
                row.theirs.append(seconds_of(other))
        engine.close()
        self.report.add(row)

    def settings(self) -> list[tuple[str, int]]:
        return [(precision, threads) for precision in self.options.precisions for threads in self.options.threads]

    def products(self) -> None:
        for name, rows, outputs, inputs in PRODUCTS:
            for precision, threads in self.settings():
                arguments = ["--part", "product", "--shape", f"{rows}x{outputs}x{inputs}"]
                self.compare(
                    "products", f"{name} {rows} x {outputs} x {inputs}", precision, threads, arguments,
                    lambda: product(rows, outputs, inputs, precision, threads),
                )  # fmt: skip

    def attention(self) -> None:
        for name, images, heads, tokens, dimension in ATTENTIONS:
            for precision, threads in self.settings():
                arguments = ["--part", "attention", "--shape", f"{images}x{heads}x{tokens}x{dimension}"]
                self.compare(
                    "attention", f"{name} {images} x {heads} x {tokens} x {dimension}", precision, threads, arguments,
                    lambda: attention(images, heads, tokens, dimension, precision, threads),
                )  # fmt: skip

    def forward(self, part: str) -> None:
        name, size, guided = FORWARDS[part]
        folder = self.checkpoint(name)
        embeddings = self.embeddings(folder, name)
        for precision in self.options.precisions:
            body = Model(folder, embeddings, precision, size).forward(guided)
            for threads in self.options.threads:
                arguments = ["--part", "forward", "--model", str(folder), "--embeddings", str(embeddings), "--size", str(size)]
                if not guided and name != "flux":
                    arguments += ["--guidance-scale", "1"]
                operations = forward_operations(folder, embeddings, size, guided)
                self.compare("forward", part, precision, threads, arguments, lambda: Torch(body, threads), operations)

    def decode(self) -> None:
        folder = self.checkpoint("pixart-256")
        embeddings = self.embeddings(folder, "pixart-256")
        arguments = ["--part", "decode", "--model", str(folder), "--embeddings", str(embeddings), "--size", "256"]
        for precision in self.options.precisions:
            body = Model(folder, embeddings, precision, 256).decode()
            for threads in self.options.threads:
                self.compare("decode", "256 x 256", precision, threads, arguments, lambda: Torch(body, threads))

    def end_to_end(self) -> None:
        folder = self.checkpoint("pixart-256")
        embeddings = self.embeddings(folder, "pixart-256")
        steps = self.options.steps
        arguments = ["--part", "generate", "--model", str(folder), "--embeddings", str(embeddings), "--steps", str(steps)]
        for precision in self.options.precisions:
            model = Model(folder, embeddings, precision, 256)
            for threads in self.options.threads:
                name = f"PixArt-256, {steps} steps and decoding"
                self.compare("end to end", name, precision, threads, arguments, lambda: Torch(lambda: model.generate(0, steps, 4.5), threads))

    def schedules(self, name: str, size: int, files: list[pathlib.Path]) -> None:
        """Wall-clock speed-up of denoising under schedules against the ratio of multiply-adds; both sides are the engine."""
        if not files:
            print("  no schedules given; pass files with --schedules or --flux-schedules")
        folder = self.checkpoint(name)
        embeddings = self.embeddings(folder, name)
        for file in files:
            with tempfile.TemporaryDirectory() as scratch:
                path = file if name != "flux" else reduced(file, pathlib.Path(scratch) / file.name, blocks=2, single_blocks=4)
                steps = json.loads(path.read_text())["cache_schedule"]["num_inference_steps"]
                uncached = pathlib.Path(scratch) / "uncached.json"
                self.ecad("schedule", "generate", "default", "--model", folder, "--steps", steps, "-o", uncached)
                totals = [entry["total_macs"] for entry in json.loads(self.ecad("schedule", "macs", uncached, path, "--model", folder, "--json"))]
                for precision, threads in self.settings():
                    base = ["--part", "denoise", "--model", str(folder), "--embeddings", str(embeddings), "--size", str(size)]
                    full = Engine(self.options.ecad, [*base, "--steps", str(steps)], precision, threads)
                    cached = Engine(self.options.ecad, [*base, "--schedule", str(path)], precision, threads)
                    row = Row("schedules", f"{name} {file.stem}", precision, threads, [])
                    for _ in range(self.options.repeats):
                        row.theirs.append(full.seconds())
                        row.ours.append(cached.seconds())
                    ratio = totals[0] / totals[1]
                    row.note = f"uncached in the place of diffusers; MAC ratio {ratio:.2f}, {(row.speedup or 0) / ratio:.3f} of it"
                    full.close()
                    cached.close()
                    self.report.add(row)

    def fidelity(self, folder: pathlib.Path, name: str, size: int, steps: int) -> None:
        """PSNR of bfloat16 against float32 of the same program, for each of eight prompts."""
        embeddings = self.embeddings(folder, name)
        guidance = 3.5 if "flux" in name else 4.5
        images: dict[tuple[str, str], list[numpy.ndarray]] = {}
        threads = max(self.options.threads)
        torch.set_num_threads(threads)
        for precision in ("float32", "bfloat16"):
            model = Model(folder, embeddings, precision, size)
            with torch.inference_mode():
                images["diffusers", precision] = [model.generate(index, steps, guidance) for index in range(len(PROMPTS))]
            with tempfile.TemporaryDirectory() as scratch:
                self.ecad(
                    "generate", "--model", folder, "--embeddings", embeddings, "--steps", steps, "--guidance-scale", guidance,
                    "--height", size, "--width", size, "--precision", precision, "--threads", threads, "-o", pathlib.Path(scratch) / "images",
                )  # fmt: skip
                files = sorted((pathlib.Path(scratch) / "images").glob("*.png"))
                images["engine", precision] = [numpy.asarray(Image.open(file).convert("RGB")) for file in files]
        values = {side: [psnr(a, b) for a, b in zip(images[side, "float32"], images[side, "bfloat16"])] for side in ("engine", "diffusers")}
        self.report.fact(
            part="fidelity", model=name, steps=steps, prompts=len(PROMPTS),
            engine_psnr=[round(value, 1) for value in values["engine"]], diffusers_psnr=[round(value, 1) for value in values["diffusers"]],
            engine_mean=round(statistics.mean(values["engine"]), 2), diffusers_mean=round(statistics.mean(values["diffusers"]), 2),
            engine_closer=sum(a > b for a, b in zip(values["engine"], values["diffusers"])),
            float32_engine_against_diffusers=round(min(psnr(a, b) for a, b in zip(images["engine", "float32"], images["diffusers", "float32"])), 1),
        )  # fmt: skip

    def memory(self) -> None:
        """Resident memory after an image, beside the size of the weights in bfloat16."""
        folder = self.checkpoint("pixart-256")
        embeddings = self.embeddings(folder, "pixart-256")
        weights = sum(file.stat().st_size for part in ("transformer", "vae") for file in (folder / part).glob("*.safetensors")) / 2
        for precision in self.options.precisions:
            arguments = ["--part", "generate", "--model", str(folder), "--embeddings", str(embeddings), "--steps", "2"]
            engine = Engine(self.options.ecad, arguments, precision, max(self.options.threads))
            resident = engine.resident_bytes()
            engine.close()
            self.report.fact(
                part="memory", model="pixart-256", precision=precision, resident_gb=round(resident / 1e9, 3), bfloat16_weights_gb=round(weights / 1e9, 3),
                above_weights_gb=round((resident - weights) / 1e9, 3),
            )  # fmt: skip

    def run(self, part: str) -> None:
        print(f"{part}:", flush=True)
        bundled = pathlib.Path("cluster/models")
        if part in FORWARDS:
            self.forward(part)
        elif part == "schedules-pixart":
            self.schedules("pixart-256", 256, self.options.schedules)
        elif part == "schedules-flux":
            self.schedules("flux", 256, self.options.flux_schedules)
        elif part == "fidelity":
            for name in ("shapes-pixart-alpha", "shapes-flux"):
                self.fidelity(bundled / name, name, 64, 20)
        elif part == "fidelity-random":
            self.fidelity(self.checkpoint("pixart-256"), "pixart-256", 256, self.options.fidelity_steps)
        else:
            {"products": self.products, "attention": self.attention, "decode-256": self.decode, "end-to-end": self.end_to_end, "memory": self.memory}[part]()


def psnr(a: numpy.ndarray, b: numpy.ndarray) -> float:
    """Peak signal-to-noise ratio in dB; 99 for equal images."""
    error = float(numpy.mean((a.astype(float) - b.astype(float)) ** 2))
    return 10 * float(numpy.log10(255**2 / error)) if error > 0 else 99.0


def forward_operations(folder: pathlib.Path, embeddings: pathlib.Path, size: int, guided: bool) -> float:
    """Multiplications and additions of a forward pass as the engine computes it: text tokens without padding, whose keys and values are computed
    once per prompt for PixArt."""
    from safetensors import safe_open

    config = json.loads((folder / "transformer" / "config.json").read_text())
    with safe_open(embeddings, "pt") as file:
        text = {name: file.get_slice(f"{name}.text").get_shape()[0] for name in ("0", "negative") if f"{name}.text" in file.keys()}
    d = config["num_attention_heads"] * config["attention_head_dim"]
    t = (size // 16) ** 2
    if config["_class_name"] == "FluxTransformer2DModel":
        s = t + text["0"]
        block = 12 * s * d * d + 2 * s * s * d
        return 2 * (config["num_layers"] + config["num_single_layers"]) * block
    rows = [text["0"]] + ([text["negative"]] if guided else [])
    return 2 * config["num_layers"] * sum(14 * t * d * d + 2 * t * t * d + 2 * t * length * d for length in rows)


def reduced(file: pathlib.Path, to: pathlib.Path, blocks: int, single_blocks: int) -> pathlib.Path:
    """A published FLUX schedule for fewer blocks: the first of each kind."""
    content = json.loads(file.read_text())
    section = content["cache_schedule"]
    section["num_blocks"], section["num_single_blocks"] = blocks, single_blocks
    section.pop("attributes", None)
    for step, row in section["schedule"].items():
        kept: dict[str, Any] = {}
        for index, block in row.items():
            is_single = "single_attn" in block or index.startswith("single")
            count = sum(("single_attn" in entry or key.startswith("single")) == is_single for key, entry in kept.items())
            if count < (single_blocks if is_single else blocks):
                kept[index] = block
        section["schedule"][step] = kept
    content.pop("metrics", None)
    to.write_text(json.dumps(content))
    return to


def machine() -> dict[str, Any]:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    versions = {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers")}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    features = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {name}" in "\n".join(lines)]
    count = sum(line.startswith("processor") for line in lines)
    return {"processor": model, "processors": count, "features": " ".join(features), "commit": commit, **versions, "mkldnn": torch.backends.mkldnn.is_available()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"parts to run, of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--ecad", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(".build-bench"), help="folder of random checkpoints and of the report (default: .build-bench)")
    parser.add_argument("--report", default="report", help="name of the report in the work directory, without ending (default: report)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--precisions", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=20, help="denoising steps of the part end-to-end (default: 20)")
    parser.add_argument("--fidelity-steps", type=int, default=4, help="denoising steps of the part fidelity-random (default: 4)")
    parser.add_argument("--schedules", type=pathlib.Path, nargs="+", default=[], help="published PixArt schedules for the part schedules-pixart")
    parser.add_argument("--flux-schedules", type=pathlib.Path, nargs="+", default=[], help="published FLUX schedules for the part schedules-flux")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}; expected {', '.join(PARTS)}")
    if options.repeats < 1 or min(options.threads) < 1:
        parser.error("--repeats and --threads: expected 1 or more")
    bench = Bench(options)
    for part in options.parts or PARTS:
        bench.run(part)
    print(f"{bench.report.path}.md, {bench.report.path}.json")


main()
