"""A SAM and a SAM 2 too small to be of use, and MaskSAM on each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from SAMSpineLib.models.masksam.config import MaskSamConfig
from SAMSpineLib.models.masksam.network import MaskSam
from SAMSpineLib.models.sam.config import OWN_CONFIGS, SAM_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam, build_sam2

SIZE = 64
SMALL = MaskSamConfig(
    classes=3, queries=4, channels=32, base=8, levels=((8, 2), (4, 4)), token_grid=(4, 8), code=(2, 4, 4),
    image_size=SIZE, depth=3,
)  # fmt: skip


@pytest.fixture(scope="session")
def sam2() -> nn.Module:
    torch.manual_seed(0)
    return build_sam2(replace(OWN_CONFIGS["sam-spine-smoke"], image_size=SIZE))


@pytest.fixture(scope="session")
def sam() -> nn.Module:
    torch.manual_seed(0)
    shape = replace(
        SAM_CONFIGS["sam-vit-b"],
        width=32,
        depth=3,
        heads=2,
        global_blocks=(1, 2),
        image_size=SIZE,
        channels=32,
        window=3,
    )
    return build_sam(shape)


@pytest.fixture(params=["sam2", "sam"])
def backbone(request) -> nn.Module:
    """Give a SAM of either kind."""
    network: nn.Module = request.getfixturevalue(request.param)
    return network


@pytest.fixture(scope="session")
def built() -> Callable[..., MaskSam]:
    """Give what builds MaskSAM on a SAM: as it begins, or with all that it has learnt at random."""
    return _built


def _built(network: nn.Module, config: MaskSamConfig = SMALL, *, shaken: bool = False) -> MaskSam:
    torch.manual_seed(3)
    model = MaskSam(config, network)
    if shaken:
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()
