"""Scores of an image against the uncached image of the same prompt and seed; `model_scorers` has those with a model."""

from __future__ import annotations

import dataclasses
import math

import torch

PSNR_MAXIMUM = 100.0
"""The score of identical images, in dB."""


@dataclasses.dataclass
class Scored:
    """Images `[P, 3, H, W]` of 8-bit values, latents `[P, C, h, w]`, the same of the uncached model, and P prompts."""

    images: torch.Tensor
    latents: torch.Tensor
    reference_images: torch.Tensor
    reference_latents: torch.Tensor
    prompts: list[str]


def psnr(batch: Scored) -> list[float]:
    """Peak signal-to-noise ratio over all pixels and channels, at most 100 dB."""
    scores = []
    for image, reference in zip(batch.images, batch.reference_images):
        error = float((image.long() - reference.long()).square().sum()) / image.numel()
        scores.append(min(PSNR_MAXIMUM, 10 * math.log10(255 * 255 / error)) if error else PSNR_MAXIMUM)
    return scores


def ssim(batch: Scored) -> list[float]:
    """Structural similarity with an 11 x 11 Gaussian window of sigma 1.5, as scikit-image computes it with `gaussian_weights`.

    Averaged over the pixels whose window lies inside the image; over all pixels if the image is smaller than the window.
    """
    taps = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / 4.5)
    taps /= taps.sum()
    height, width = batch.images.shape[2:]
    rows = slice(5, height - 5) if height >= 11 else slice(None)
    columns = slice(5, width - 5) if width >= 11 else slice(None)
    across, down = _mirrored(width), _mirrored(height)

    def mean(planes: torch.Tensor) -> torch.Tensor:
        planes = (planes[..., across].unfold(-1, 11, 1) * taps).sum(-1)
        return (planes[..., down, :].unfold(-2, 11, 1) * taps).sum(-1)

    a, b = batch.images.double().cpu(), batch.reference_images.double().cpu()
    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    return [float(value) for value in similarity[..., rows, columns].mean(dim=(1, 2, 3))]


def _mirrored(length: int) -> torch.Tensor:
    """Positions of a line with five more on both sides; the edge is repeated."""
    within = torch.arange(-5, length + 5) % (2 * length)
    return torch.where(within < length, within, 2 * length - 1 - within)


def latent_error(batch: Scored) -> list[float]:
    """The negative relative L2 error of the final latents."""
    pairs = zip(batch.latents.double(), batch.reference_latents.double())
    return [-float((found - expected).norm() / expected.norm()) if (found != expected).any() else 0.0 for found, expected in pairs]


SCORERS = {"psnr": psnr, "ssim": ssim, "latent-error": latent_error}
