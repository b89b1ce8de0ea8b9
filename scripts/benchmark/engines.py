"""The two sides of a comparison: the engine in a process that runs once per line, and diffusers in this one."""

from __future__ import annotations

import functools
import json
import pathlib
import subprocess
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers import PixArtAlphaPipeline, PixArtTransformer2DModel
from safetensors.torch import load_file

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Engine:
    """`ecad bench engine` for one part; every call of `seconds` is one run."""

    def __init__(self, ecad: pathlib.Path, arguments: list[str], precision: str, threads: int):
        command = [str(ecad), "bench", "engine", "--each-line", "--precision", precision, "--threads", str(threads), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.facts: dict[str, Any] = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} exited with status {self.process.wait()}")  # type: ignore[arg-type]
        return line

    def seconds(self) -> float:
        assert self.process.stdin
        self.process.stdin.write("\n")
        return float(self._line())

    def resident_bytes(self) -> int:
        """Resident memory now: anonymous memory, such as packed weights and activations, and mapped pages of files."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * 4096

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


class Torch:
    """A function timed with a number of threads."""

    def __init__(self, body: Callable[[], Any], threads: int):
        self.body = body
        self.threads = threads

    def seconds(self) -> float:
        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            start = time.perf_counter()
            self.body()
            return time.perf_counter() - start

    def close(self) -> None:
        pass


def product(rows: int, outputs: int, inputs: int, precision: str, threads: int) -> Torch:
    x, weight, bias = (torch.randn(*shape).to(DTYPES[precision]) for shape in ((rows, inputs), (outputs, inputs), (outputs,)))
    return Torch(lambda: torch.nn.functional.linear(x, weight, bias), threads)


def attention(images: int, heads: int, tokens: int, dimension: int, precision: str, threads: int) -> Torch:
    # As diffusers lays them out: [images, tokens, heads, dimension], transposed as a view.
    q, k, v = (torch.randn(images, tokens, heads, dimension).to(DTYPES[precision]).transpose(1, 2) for _ in range(3))
    return Torch(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v), threads)


class Model:
    """A checkpoint in diffusers, with the first prompts of a file written by `ecad embed`."""

    def __init__(self, folder: pathlib.Path, embeddings: pathlib.Path, precision: str, size: int):
        self.folder = folder
        self.dtype = DTYPES[precision]
        self.size = size
        self.is_flux = json.loads((folder / "model_index.json").read_text())["_class_name"] == "FluxPipeline"
        self.embeddings = load_file(embeddings)

    @functools.cached_property
    def transformer(self) -> Any:
        kind = FluxTransformer2DModel if self.is_flux else PixArtTransformer2DModel
        return kind.from_pretrained(self.folder / "transformer", torch_dtype=self.dtype).eval()

    @functools.cached_property
    def vae(self) -> Any:
        return AutoencoderKL.from_pretrained(self.folder / "vae", torch_dtype=self.dtype).eval()

    def _text(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """An embedding padded to the pipeline's length, and its mask."""
        text = self.embeddings[f"{name}.text"].to(self.dtype)
        padded = torch.zeros(1, 120, text.shape[1], dtype=self.dtype)
        padded[0, : text.shape[0]] = text
        return padded, (torch.arange(120) < text.shape[0]).long()[None]

    def forward(self, guided: bool) -> Callable[[], Any]:
        transformer = self.transformer
        side = self.size // 8
        if self.is_flux:
            # The text of another checkpoint may be shorter; both sides use all of its tokens.
            text = self.embeddings["0.text"][None].to(self.dtype)
            tokens = side // 2
            positions = torch.zeros(tokens, tokens, 3)
            positions[..., 1] = torch.arange(tokens)[:, None]
            positions[..., 2] = torch.arange(tokens)[None]
            arguments = dict(
                hidden_states=torch.randn(1, tokens * tokens, 64).to(self.dtype),
                encoder_hidden_states=text,
                pooled_projections=self.embeddings["0.pooled"].to(self.dtype),
                timestep=torch.tensor([0.9]).to(self.dtype),
                guidance=torch.tensor([3.5]) if transformer.config.guidance_embeds else None,
                img_ids=positions.reshape(-1, 3),
                txt_ids=torch.zeros(text.shape[1], 3),
                return_dict=False,
            )
            return lambda: transformer(**arguments)
        names = ["negative", "0"] if guided else ["0"]
        texts, masks = zip(*(self._text(name) for name in names))
        conditions: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
        if transformer.config.sample_size == 128 and transformer.use_additional_conditions:
            conditions = {
                "resolution": torch.tensor([[self.size, self.size]] * len(names)).to(self.dtype),
                "aspect_ratio": torch.ones(len(names), 1).to(self.dtype),
            }
        arguments = dict(
            hidden_states=torch.randn(1, 4, side, side).to(self.dtype).repeat(len(names), 1, 1, 1),
            encoder_hidden_states=torch.cat(texts),
            encoder_attention_mask=torch.cat(masks),
            timestep=torch.tensor([900] * len(names)),
            added_cond_kwargs=conditions,
            return_dict=False,
        )
        return lambda: transformer(**arguments)

    def decode(self) -> Callable[[], Any]:
        vae = self.vae
        latents = torch.randn(1, vae.config.latent_channels, self.size // 8, self.size // 8).to(self.dtype)
        return lambda: vae.decode(latents, return_dict=False)

    def generate(self, prompt: int, steps: int, guidance_scale: float) -> Any:
        """An image [height, width, 3] in 0 to 255, from the noise that PyTorch draws in float32 for seed 0."""
        noise = torch.Generator("cpu").manual_seed(0)
        side = self.size // (2 ** (len(self.vae.config.block_out_channels) - 1))
        latents = torch.randn(1, self.vae.config.latent_channels, side, side, generator=noise)
        if self.is_flux:
            scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(self.folder / "scheduler")
            flux = FluxPipeline(scheduler, self.vae, None, None, None, None, self.transformer)
            flux.set_progress_bar_config(disable=True)
            packed = FluxPipeline._pack_latents(latents, 1, latents.shape[1], side, side)
            images = flux(
                prompt_embeds=self.embeddings[f"{prompt}.text"][None].to(self.dtype),
                pooled_prompt_embeds=self.embeddings[f"{prompt}.pooled"].to(self.dtype),
                latents=packed.to(self.dtype), num_inference_steps=steps, guidance_scale=guidance_scale,
                height=self.size, width=self.size, output_type="np",
            ).images  # fmt: skip
        else:
            scheduler = DPMSolverMultistepScheduler.from_pretrained(self.folder / "scheduler")
            pixart = PixArtAlphaPipeline(None, None, self.vae, self.transformer, scheduler)
            pixart.set_progress_bar_config(disable=True)
            text, mask = self._text(str(prompt))
            negative, negative_mask = self._text("negative")
            images = pixart(
                prompt=None, negative_prompt=None, prompt_embeds=text, prompt_attention_mask=mask,
                negative_prompt_embeds=negative, negative_prompt_attention_mask=negative_mask, latents=latents.to(self.dtype),
                num_inference_steps=steps, guidance_scale=guidance_scale, height=self.size, width=self.size,
                use_resolution_binning=False, output_type="np",
            ).images  # fmt: skip
        return (images[0] * 255).round().astype("uint8")
