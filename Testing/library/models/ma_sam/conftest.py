"""A SAM and a SAM 2 too small to be of use, and MA-SAM on each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from SAMSpineLib.models.ma_sam.config import MaSamConfig
from SAMSpineLib.models.ma_sam.network import MaSam
from SAMSpineLib.models.sam.config import OWN_CONFIGS, SAM_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam, build_sam2

SIZE = 64
SMALL = MaSamConfig(classes=4, channels=32, adapter="bottleneck", widths=(4, 6, 8, 12), image_size=SIZE)


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


@pytest.fixture(params=["published", "bottleneck"])
def config(request) -> MaSamConfig:
    """Give a small shape with either kind of adapter."""
    return replace(SMALL, adapter=request.param)


@pytest.fixture(scope="session")
def built() -> Callable[..., MaSam]:
    """Give what builds MA-SAM on a SAM: as it begins, or with all that it has learnt at random."""
    return _built


def _built(network: nn.Module, config: MaSamConfig = SMALL, *, shaken: bool = False) -> MaSam:
    torch.manual_seed(3)
    model = MaSam(config, network)
    if shaken:
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()
