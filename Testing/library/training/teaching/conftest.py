"""A small SAM with weights at random, pictures of discs, and a plan to teach them in a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from SAMSpineLib.models.sam.config import OWN_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam2
from SAMSpineLib.models.sam.promptable import SamPromptable
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone
from SAMSpineLib.training.teaching.images import TeachImage, wanted
from SAMSpineLib.training.teaching.plan import RECIPE, TeachPlan
from SAMSpineLib.volume import Volume


@pytest.fixture(scope="session")
def picture() -> Callable[..., TeachImage]:
    """Give what makes a picture."""
    return _picture


@pytest.fixture(scope="session")
def model() -> SamPromptable:
    torch.manual_seed(0)
    return SamPromptable(Sam2Backbone(build_sam2(OWN_CONFIGS["sam-spine-smoke"])), name="sam-spine-smoke")


@pytest.fixture(scope="session")
def plan(model) -> TeachPlan:
    """Give a plan of four steps that leaves the image encoder as it is."""
    quick = replace(RECIPE, steps=4, batch=2, variants=1, look_every=2, warmup=1, encoder_rank=0)
    return TeachPlan(wanted(["disc"]), model, recipe=quick)


def _picture(seed: int, *, subject: str | None = None, values: tuple[int, ...] = (1,), depth: int = 1) -> TeachImage:
    """Make bright discs on dark noise, one for each value, in the first half of the slices."""
    rng = np.random.default_rng(seed)
    image = rng.normal(60, 10, (depth, 64, 64))
    labels = np.zeros((depth, 64, 64), np.int32)
    y, x = np.mgrid[:64, :64]
    for order, value in enumerate(values):
        centre = rng.uniform(14, 30, 2) + 28 * order
        disc = np.hypot(y - centre[0], x - centre[1]) < rng.uniform(7, 10)
        labels[: (depth + 1) // 2, disc] = value
    image[labels > 0] += 120
    volume = Volume.from_array(image.clip(0, 255).astype(np.uint8), np.diag([1.0, 1.0, 3.0, 1.0]), modality="OT")
    return TeachImage(volume, labels, subject or f"subject {seed}")
