"""The localiser: bone, centres, the way to them and ribs at full size, level evidence at half size.

Source: centre heat map and offset votes after Panoptic-DeepLab (Cheng et al., CVPR 2020, section 3), in 3D; the idea of
locating before segmenting after Payer et al. (VISAPP 2020), the winners of VerSe 2019.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from SAMSpineLib.models.ct_sam3d.layers import Conv3d, upsample
from SAMSpineLib.models.ct_sam3d.residual_encoder import ResidualEncoder
from SAMSpineLib.models.localiser.config import LocaliserConfig
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES

# The network speaks of offsets in this unit, so that all its outputs are about 1.
OFFSET_UNIT_MM = 20.0


class LocaliserMaps(NamedTuple):
    """What the network says of a batch of windows: logits of bone (B, 1, ...), heat (B, 1, ...), offsets (B, 3, ...).

    Offsets are along I, J, K in units of `OFFSET_UNIT_MM`; `ribs` (B, 1, ...) are logits that a voxel is a rib.
    `levels` (B, 25, ...) are logits at half size, and last: MONAI's sliding window takes another size only at the end.
    """

    bone: Tensor
    heat: Tensor
    offsets: Tensor
    ribs: Tensor
    levels: Tensor


class Localiser(nn.Module):
    """Map windows (B, 1, K, J, I) of normalised intensity to `LocaliserMaps`; K, J, I divisible by 2^(scales - 1)."""

    def __init__(self, config: LocaliserConfig) -> None:
        """Create the network of `config` with fresh weights."""
        super().__init__()
        self.config = config
        dims = config.dims
        self.encoder = ResidualEncoder(dims, config.depths, dims)
        pairs = list(zip(dims[:0:-1], dims[-2::-1], strict=True))
        self.ups = nn.ModuleList(upsample(coarse, fine) for coarse, fine in pairs)
        self.mixes = nn.ModuleList(_mix(fine) for _, fine in pairs)
        self.levels = Conv3d(dims[1], len(LEVEL_VALUES), 1)
        self.places = Conv3d(dims[0], 5, 3, padding=1)
        self.ribs = Ribs(dims[1], dims[0])

    def forward(self, image: Tensor) -> LocaliserMaps:
        """Return the maps of a batch of windows."""
        *skips, x = self.encoder(image)
        half = x
        for up, mix, skip in zip(self.ups, self.mixes, reversed(skips), strict=True):
            half = x  # in the end: the features at half size
            x = mix(up(x) + skip)
        bone, heat, offsets = torch.split(self.places(x), [1, 1, 3], dim=1)
        return LocaliserMaps(bone, heat, offsets, self.ribs(half, skips[0]), self.levels(half))


class Ribs(nn.Module):
    """Tell ribs from features at half and at full size: a last step of decoding of its own.

    Whoever has a localiser that knows vertebrae can teach this part alone and leaves the other maps as they are.
    """

    def __init__(self, half: int, full: int, channels: int = 16) -> None:
        """Create the part that reads `half` channels at half size and `full` channels at full size."""
        super().__init__()
        self.up = upsample(half, channels)
        self.skip = Conv3d(full, channels, 1)
        self.mixes = nn.Sequential(_mix(channels), _mix(channels))
        self.out = Conv3d(channels, 1, 1)

    def forward(self, half: Tensor, full: Tensor) -> Tensor:
        """Return logits (B, 1, ...) at full size."""
        out: Tensor = self.out(self.mixes(self.up(half) + self.skip(full)))
        return out


def _mix(channels: int) -> nn.Sequential:
    """Return the layer that mixes what comes from below with what comes across."""
    return nn.Sequential(
        Conv3d(channels, channels, 3, padding=1, bias=False),
        nn.InstanceNorm3d(channels, affine=True),
        nn.LeakyReLU(0.1, inplace=True),
    )
