"""A network small enough for every test, and a volume to look at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from SAMSpineLib.models.ct_sam3d.config import TINY
from SAMSpineLib.models.ct_sam3d.network import CTSAM3D
from SAMSpineLib.models.ct_sam3d.promptable import CTSAM3DPromptable
from SAMSpineLib.volume import Volume


@pytest.fixture
def tiny_network() -> CTSAM3D:
    torch.manual_seed(3)
    return CTSAM3D(TINY).eval()


@pytest.fixture
def tiny(tiny_network) -> CTSAM3DPromptable:
    return CTSAM3DPromptable(tiny_network, name="ct-sam3d-tiny")


@pytest.fixture
def bone() -> Volume:
    """Give a bright ball in soft tissue: 3 x 2 x 2 mm voxels, its centre at (0, 0, 0)."""
    matrix = np.diag([2.0, 2.0, 3.0, 1.0])
    matrix[:3, 3] = (-60, -60, -60)
    k, j, i = np.indices((41, 61, 61))
    distance = np.sqrt((2.0 * i - 60) ** 2 + (2.0 * j - 60) ** 2 + (3.0 * k - 60) ** 2)
    return Volume.from_array(np.where(distance < 20, 600, 40).astype(np.int16), matrix)
