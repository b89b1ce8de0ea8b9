"""Scores of images, against those of the original libraries."""

from __future__ import annotations

import json

import conftest
import pytest
import torch

from ecad_diffusers.worker import scorers
from ecad_diffusers.worker.model_scorers import open_scorer


def test_scores_of_simple_images() -> None:
    reference = torch.full((1, 3, 24, 20), 100, dtype=torch.uint8)
    image = reference.clone()
    image[0, 0] += 3
    batch = scorers.Scored(image, torch.ones(1, 4, 2, 2), reference, torch.full((1, 4, 2, 2), 2.0), [""])
    assert scorers.psnr(batch)[0] == pytest.approx(43.3596, abs=1e-3)  # MSE 3
    assert scorers.latent_error(batch)[0] == pytest.approx(-0.5)
    assert 0.99 < scorers.ssim(batch)[0] < 1
    same = scorers.Scored(reference, torch.ones(1, 1, 1, 1), reference, torch.ones(1, 1, 1, 1), [""])
    assert (scorers.psnr(same), scorers.ssim(same), scorers.latent_error(same)) == ([100.0], [pytest.approx(1)], [0.0])


def test_model_scorers_equal_the_original_libraries() -> None:
    """The references hold 8-bit images, prompts, and what the packages that define the scores compute."""
    for name, path in (("image-reward", "image-reward/image-reward.safetensors"), ("image-reward", "image-reward/image-reward-large.safetensors"), ("clip", "clip/clip-score.safetensors")):
        metadata, tensors = conftest.read_safetensors(conftest.FIXTURES / path)
        prompts = json.loads(metadata["prompts"])
        images = (tensors["images"] * 255).round().to(torch.uint8)
        blank = torch.zeros(len(prompts), 1)
        scorer = open_scorer(name, str((conftest.FIXTURES / path).parent / "model"), torch.device("cpu"))
        found = scorer(scorers.Scored(images, blank, images, blank, prompts))
        if name == "clip":
            expected = 100 * torch.nn.functional.cosine_similarity(tensors["image_features"], tensors["text_features"])
        else:
            expected = tensors["rewards"].flatten()
        assert found == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3), path
