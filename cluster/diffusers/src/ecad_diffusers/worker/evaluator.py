"""Evaluates candidates with a diffusers pipeline: images, scores, and seconds beside the uncached model."""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..apply import apply_schedule, transformer_shape
from ..pipelines import is_flux, load_pipeline, noise, synchronize, text_length
from ..schedule import Schedule, ScheduleError
from . import costs, model_scorers, reuse, scorers
from .errors import WorkerError
from .profile import Profile
from .timings import UncachedTimings

CANDIDATES_BETWEEN_REFERENCES = 4
REFERENCE_AGE_BEFORE = 5.0
"""Seconds for which a timed uncached run counts as just before candidates whose latency is an objective."""
REFERENCE_CACHE_BYTES = 512 << 20
CANARY_VALUES = 256
REUSE_ROWS = 16
"""Most copies of an image that are denoised together to measure reuse errors."""
DECODED_PIXELS = 512 * 512
"""Most pixels that a GPU, which one small image does not fill, decodes together: the autoencoder needs more memory than the transformer."""


class CandidateError(Exception):
    """A candidate cannot be evaluated; the worker is not at fault."""

    def __init__(self, candidate: int, reason: str):
        super().__init__(reason)
        self.candidate = candidate


class Cancelled(Exception):
    """The task was cancelled."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the images of a run are generated and scored."""

    steps: int
    height: int
    width: int
    guidance_scale: float
    prompts: list[str]
    negative_prompt: str
    scorers: list[str]
    scorer_folders: dict[str, str] = dataclasses.field(default_factory=dict)
    """Directories of the scorers that have a model."""


@dataclasses.dataclass(frozen=True)
class Returned:
    """Which images a result includes."""

    everything: bool
    thumbnails: set[tuple[int, int]]
    """Pairs of a prompt's index and a seed whose images are included in any case."""
    references: bool
    """Whether the measurements of the first candidate include the uncached images of `thumbnails`."""
    edge: int
    """Longest edge in pixels, to which larger images are reduced; 0 for any."""


@dataclasses.dataclass
class Images:
    """Images `[P, 3, H, W]` of 8-bit values, latents `[P, C, h, w]`, seconds per image."""

    images: torch.Tensor
    latents: torch.Tensor
    denoise_seconds: float
    decode_seconds: float

    def bytes(self) -> int:
        return self.images.numel() + self.latents.numel() * self.latents.element_size()


@dataclasses.dataclass
class Embedding:
    """A prompt's inputs to the transformer: tokens `[S, D]`, and for FLUX a pooled vector `[1, D]`."""

    text: torch.Tensor
    pooled: torch.Tensor | None


class Evaluator:
    """Owns the pipeline; used by one thread."""

    def __init__(self, model: str, settings: Settings, embeddings: str | None, device: torch.device, dtype: torch.dtype, batch: int | None):
        parts: dict[str, Any] = {}
        if embeddings:
            names = json.loads((pathlib.Path(model) / "model_index.json").read_text())
            parts = {name: None for name in names if name.startswith(("text_encoder", "tokenizer"))}
        self._pipeline = load_pipeline(model, dtype, device, **parts)
        self._settings = settings
        self._device = device
        self._batch = batch
        self.profile = Profile()
        self.shape = transformer_shape(self._pipeline, settings.steps)
        texts = [settings.negative_prompt, *settings.prompts]
        found = self._read_embeddings(embeddings) if embeddings else self._encode(texts)
        self._negative, self._prompts = found[0], found[1:]
        # T5-XXL is larger than PixArt, and no longer needed.
        self._pipeline.register_modules(**{name: None for name in self._pipeline.components if name.startswith("text_encoder")})
        self._references: collections.OrderedDict[tuple[tuple[int, int], ...], Images] = collections.OrderedDict()
        # By number of images.
        self._uncached_timings: dict[int, UncachedTimings] = {}
        # Then latencies are predicted from them, and so are an objective.
        self._has_measured_costs = False
        self._warm: set[int] = set()
        self._scorers = {
            name: scorers.SCORERS[name] if name in scorers.SCORERS else model_scorers.open_scorer(name, settings.scorer_folders[name], device)
            for name in settings.scorers
        }

    def canary(self) -> list[float]:
        """Evenly sampled latents of one uncached image, as every engine samples them."""
        latents = self._denoise([(0, 0)] if self._prompts else [(-1, 0)], None).latents.flatten().float()
        count = min(CANARY_VALUES, latents.numel())
        return [float(latents[index * latents.numel() // count]) for index in range(count)]

    def measure_costs(self, images: int, progress: Callable[[int, int], None], budget: float = 20.0) -> costs.Measured:
        """The cost of every component for a batch of images of the run's first prompts, in about `budget` seconds."""
        items = [(index % max(1, len(self._prompts)), index) for index in range(images)]
        guided = self._settings.guidance_scale > 1

        def run(schedule: Schedule | None) -> float:
            return self._denoise(items, schedule).denoise_seconds * images

        measured = costs.measure_costs(self._pipeline, self.shape, self._device, guided, images, run, budget, progress)
        self._has_measured_costs = True
        return measured

    def measure_reuse(self, item: tuple[int, int], progress: Callable[[int, int], None]) -> bytes:
        """The reuse errors of one image as little-endian float32, see `reuse.measure_reuse`."""
        self._check_prompts([item])
        rows = min(REUSE_ROWS, self._batch or REUSE_ROWS)
        errors = reuse.measure_reuse(self._pipeline, self.shape, rows, lambda copies: self._call([item] * copies, None)[0], progress)
        return errors.numpy().astype("<f4").tobytes()

    def evaluate(
        self,
        candidates: list[tuple[int, Schedule]],
        items: list[tuple[int, int]],
        measure_latency: bool,
        returned: Returned,
        progress: Callable[[int, int], None],
    ) -> list[dict[str, Any]]:
        """Measurements of every candidate and item, in that order; `progress` raises Cancelled to stop.

        `items` are pairs of a prompt's index and a seed.
        """
        self._check_prompts(items)
        total = len(candidates) * len(items)
        self._warm_up(items)
        results: list[dict[str, Any]] = []
        timings = self._timings(len(items))
        before = timings.latest_within(REFERENCE_AGE_BEFORE, time.monotonic()) if measure_latency else None
        if tuple(items) not in self._references or (measure_latency and before is None):
            before = self._run_reference(items)
        for first in range(0, len(candidates), CANDIDATES_BETWEEN_REFERENCES):
            group = candidates[first : first + CANDIDATES_BETWEEN_REFERENCES]
            runs: list[tuple[int, Images]] = []
            # Candidates with equal plans make the same images from the same noise: one batch is theirs.
            equal: dict[tuple[Any, int | None], Images] = {}
            for position, (candidate, schedule) in enumerate(group):
                progress((first + position) * len(items), total)
                try:
                    key = (schedule.plan, schedule.effective_gate)
                    if key not in equal:
                        if not measure_latency and timings.is_due(time.monotonic(), self._has_measured_costs):
                            self._run_reference(items)
                        with self.profile.part("denoising"):
                            equal[key] = self._denoise(items, schedule)
                        self._decode_finite(candidate, equal[key])
                except ScheduleError as error:
                    raise CandidateError(candidate, str(error)) from None
                runs.append((candidate, equal[key]))
            reference_seconds = timings.seconds_per_image
            if measure_latency and before is not None:
                after = self._run_reference(items)
                reference_seconds, before = (before + after) / 2, after
            with self.profile.part("scoring"):
                for candidate, images in runs:
                    results += self._score(candidate, images, items, reference_seconds, returned, candidate == candidates[0][0])
        progress(total, total)
        return results

    def _check_prompts(self, items: list[tuple[int, int]]) -> None:
        for prompt, _ in items:
            if not 0 <= prompt < len(self._prompts):
                raise WorkerError(f"prompt {prompt} of a task does not exist; expected 0 to {len(self._prompts) - 1}")

    def _decode_finite(self, candidate: int, images: Images) -> None:
        if not torch.isfinite(images.latents).all():
            raise CandidateError(candidate, "its latents are not finite")
        self._decode(images)

    def _score(
        self, candidate: int, run: Images, items: list[tuple[int, int]], reference_seconds: float, returned: Returned, is_first: bool
    ) -> list[dict[str, Any]]:
        reference = self._references[tuple(items)]
        batch = scorers.Scored(run.images, run.latents, reference.images, reference.latents, [self._settings.prompts[prompt] for prompt, _ in items])
        scores: list[dict[str, float]] = [{} for _ in items]
        for name, scorer in self._scorers.items():
            for row, value in zip(scores, scorer(batch)):
                if not torch.isfinite(torch.tensor(value)):
                    raise CandidateError(candidate, f"its score {name} is not finite")
                row[name] = value
        measurements = []
        for index, (prompt, seed) in enumerate(items):
            measurement: dict[str, Any] = {
                "candidate_id": candidate, "prompt_index": prompt, "seed": seed, "scores": scores[index],
                "denoise_seconds": run.denoise_seconds, "reference_seconds": reference_seconds, "decode_seconds": run.decode_seconds,
            }  # fmt: skip
            if returned.everything or (prompt, seed) in returned.thumbnails:
                measurement["png"] = _png(run.images[index], returned.edge)
            if returned.references and is_first and (prompt, seed) in returned.thumbnails:
                measurement["reference_png"] = _png(reference.images[index], returned.edge)
            measurements.append(measurement)
        return measurements

    def _run_reference(self, items: list[tuple[int, int]]) -> float:
        """Denoises uncached and returns the seconds per image; keeps images and latents for the scorers."""
        key = tuple(items)
        with self.profile.part("uncached"):
            run = self._denoise(items, None)
        if key not in self._references:
            if not torch.isfinite(run.latents).all():
                raise WorkerError("the latents of the uncached model are not finite; expected another --dtype or a sound device")
            self._decode(run)
            while self._references and sum(kept.bytes() for kept in self._references.values()) > REFERENCE_CACHE_BYTES:
                self._references.popitem(last=False)
            self._references[key] = run
        self._timings(len(items)).add(run.denoise_seconds, time.monotonic())
        return run.denoise_seconds

    def _timings(self, images: int) -> UncachedTimings:
        return self._uncached_timings.setdefault(images, UncachedTimings(images))

    def _warm_up(self, items: list[tuple[int, int]]) -> None:
        """The first run of a batch size allocates memory and selects kernels, and must not be timed."""
        for chunk in self._chunks(items):
            if len(chunk) not in self._warm:
                self._call(chunk, None)
                self._warm.add(len(chunk))

    def _chunks(self, items: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """Batches of at most `--batch` images."""
        size = self._batch or len(items)
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _denoise(self, items: list[tuple[int, int]], schedule: Schedule | None) -> Images:
        """The final latents of images, in batches of at most `--batch`."""
        runs = [self._call(chunk, schedule) for chunk in self._chunks(items)]
        return Images(torch.empty(0), torch.cat([latents for latents, _ in runs]), sum(seconds for _, seconds in runs) / len(items), 0.0)

    @torch.no_grad()
    def _call(self, items: list[tuple[int, int]], schedule: Schedule | None) -> tuple[torch.Tensor, float]:
        settings, pipeline = self._settings, self._pipeline
        embeddings = [self._prompts[prompt] if prompt >= 0 else self._negative for prompt, _ in items]
        seeds = [seed % 2**64 for _, seed in items]
        options: dict[str, Any] = {
            "num_inference_steps": settings.steps, "guidance_scale": settings.guidance_scale, "height": settings.height, "width": settings.width,
            "latents": noise(pipeline, seeds, settings.height, settings.width), "output_type": "latent",
        }  # fmt: skip
        if is_flux(pipeline):
            options["prompt_embeds"] = self._to_device(torch.stack([item.text for item in embeddings]))
            options["pooled_prompt_embeds"] = self._to_device(torch.cat([item.pooled for item in embeddings if item.pooled is not None]))
        else:
            tokens = max(item.text.shape[0] for item in [*embeddings, self._negative])
            for prefix, chosen in (("", embeddings), ("negative_", [self._negative] * len(items))):
                padded = torch.zeros(len(chosen), tokens, chosen[0].text.shape[1])
                mask = torch.zeros(len(chosen), tokens, dtype=torch.int64)
                for row, item in enumerate(chosen):
                    padded[row, : item.text.shape[0]] = item.text
                    mask[row, : item.text.shape[0]] = 1
                options[f"{prefix}prompt_embeds"] = self._to_device(padded)
                options[f"{prefix}prompt_attention_mask"] = mask.to(self._device)
            options |= {"negative_prompt": None, "use_resolution_binning": False}
        clock = _Clock(self._device)
        if schedule is None:
            latents = pipeline(**options).images
        else:
            with apply_schedule(pipeline, schedule):
                latents = pipeline(**options).images
        seconds = clock.seconds()
        if is_flux(pipeline):
            latents = pipeline._unpack_latents(latents, settings.height, settings.width, pipeline.vae_scale_factor)
        return latents.float().cpu(), seconds

    @torch.no_grad()
    def _decode(self, run: Images) -> None:
        vae, images = self._pipeline.vae, []
        synchronize(self._device)
        start = time.perf_counter()
        with self.profile.part("decoding"):
            together = 1 if self._device.type == "cpu" else max(1, DECODED_PIXELS // (self._settings.height * self._settings.width))
            for rows in torch.split(run.latents, together):
                latents = rows.to(self._device, vae.dtype) / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0)
                decoded = vae.decode(latents, return_dict=False)[0].float()
                images.append(((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu())
        run.images = torch.cat(images)
        run.decode_seconds = (time.perf_counter() - start) / len(run.images)

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, self._pipeline.transformer.dtype)

    @torch.no_grad()
    def _encode(self, texts: list[str]) -> list[Embedding]:
        """Embeds prompts with the pipeline's text encoders, each once."""
        found: dict[str, Embedding] = {}
        for text in dict.fromkeys(texts):
            if is_flux(self._pipeline):
                embeds, pooled, _ = self._pipeline.encode_prompt(text, None, max_sequence_length=text_length(self._pipeline))
                found[text] = Embedding(embeds[0].float().cpu(), pooled.float().cpu())
            else:
                embeds, mask, _, _ = self._pipeline.encode_prompt(text, do_classifier_free_guidance=False, max_sequence_length=text_length(self._pipeline), clean_caption=False)
                found[text] = Embedding(embeds[0][mask[0].bool()].float().cpu(), None)
        return [found[text] for text in texts]

    def _read_embeddings(self, path: str) -> list[Embedding]:
        """The embeddings that `ecad embed` wrote, of the negative prompt and of all prompts of the run."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                prompts = json.loads(metadata.get("prompts", "[]"))
                if metadata.get("format") != "ecad-embeddings/1" or not isinstance(prompts, list):
                    raise WorkerError("the coordinator's prompt embeddings are not a file written by ecad embed")
                if metadata.get("negative_prompt") != self._settings.negative_prompt:
                    raise WorkerError("the coordinator's prompt embeddings are for another negative prompt than the run's")
                names = ["negative"]
                for prompt in self._settings.prompts:
                    if prompt not in prompts:
                        raise WorkerError(f'the coordinator\'s prompt embeddings lack the prompt "{prompt[:60]}"')
                    names.append(str(prompts.index(prompt)))
                flux = is_flux(self._pipeline)
                return [Embedding(file.get_tensor(f"{name}.text").float(), file.get_tensor(f"{name}.pooled").float() if flux else None) for name in names]
        except (safetensors.SafetensorError, ValueError) as error:
            raise WorkerError(f"the coordinator's prompt embeddings cannot be read: {error}") from None


class _Clock:
    """Seconds of the device: by events on CUDA, by the wall clock elsewhere."""

    def __init__(self, device: torch.device):
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
            self._events[0].record()
        self._start = time.perf_counter()

    def seconds(self) -> float:
        if not self._cuda:
            return time.perf_counter() - self._start
        self._events[1].record()
        self._events[1].synchronize()
        return float(self._events[0].elapsed_time(self._events[1])) / 1000


def _png(image: torch.Tensor, edge: int) -> bytes:
    """The image as PNG, reduced to a longest edge of `edge` pixels; 0 keeps its size."""
    from PIL import Image

    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    longest = max(picture.size)
    if 0 < edge < longest:
        picture = picture.resize((max(1, round(picture.width * edge / longest)), max(1, round(picture.height * edge / longest))), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
