"""SAM and SAM 2 too small to be of use, with weights at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.models.sam.config import Sam2Config, SamConfig
from SAMSpineLib.models.sam.networks import build_sam, build_sam2

SIZE = 128
SMALL_SAM = SamConfig(
    width=32, depth=2, heads=2, global_blocks=(1,), image_size=SIZE, window=5, channels=32, decoder_hidden=64,
    score_hidden=32,
)  # fmt: skip
SMALL_SAM2 = Sam2Config(
    16, 1, (1, 1, 3, 1), (3,), image_size=SIZE, channels=32, memory_channels=16, memory_layers=2, memory_hidden=64
)


def shaken(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every weight a value at random that shows in the result: fresh networks have many zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(network.state_dict().items()):
            if value.is_floating_point():
                scale = 1.0 if value.dim() < 2 or "embed" in name else 1.5 / max(value[0].numel(), 1) ** 0.5
                noise = torch.randn(value.shape, generator=generator) * scale
                value.copy_(1 + 0.1 * noise if name.endswith("weight") and value.dim() == 1 else noise)
    return network


@pytest.fixture(scope="session")
def small_sam_network() -> torch.nn.Module:
    """Give a SAM of 128 pixels."""
    return shaken(build_sam(SMALL_SAM))


@pytest.fixture(scope="session")
def small_sam2_network() -> torch.nn.Module:
    """Give a SAM 2.1 of 128 pixels."""
    return shaken(build_sam2(SMALL_SAM2))


@pytest.fixture(scope="session")
def a_picture() -> np.ndarray:
    """Give an image (96, 128, 3) of whole grey values: blobs, so that masks have shapes."""
    y, x = np.mgrid[0:96, 0:128]
    grey = 120 + 60 * np.sin(x / 9) * np.cos(y / 7) + 50 * (np.hypot(x - 60, y - 40) < 22)
    noise = np.random.default_rng(1).integers(-10, 10, (96, 128))
    return np.repeat((grey + noise).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture(scope="session")
def small_video_predictor(small_sam2_network: torch.nn.Module) -> torch.nn.Module:
    """Give SAM 2's video predictor with the same weights."""
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    predictor = build_sam2(SMALL_SAM2, SAM2VideoPredictor)
    predictor.load_state_dict(small_sam2_network.state_dict())
    return predictor
