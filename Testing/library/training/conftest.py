"""One small synthetic case for every test of training, and patches of it."""

from __future__ import annotations

import numpy as np
import pytest

from SAMSpineLib.models.ct_sam3d.config import TINY
from SAMSpineLib.training.cases import Case, phantom_case
from SAMSpineLib.training.patches import Patch, PatchSampler
from SAMSpineLib.training.synthetic.settings import PhantomSettings


@pytest.fixture(scope="session")
def case() -> Case:
    return phantom_case(7, PhantomSettings.small())


@pytest.fixture(scope="session")
def patches(case) -> list[Patch]:
    """Give patches of many structures and augmentations, drawn once."""
    sampler, rng = PatchSampler([case], TINY), np.random.default_rng(5)
    return [sampler.draw(rng) for _ in range(40)]
