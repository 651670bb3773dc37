"""Adapters beside the MLP of each block of an image encoder; at first they change nothing.

Source: Fan et al., IEEE TMI 2025, release. There an adapter is published that weighs the channels of a slice and looks
around each of its places; with 15 million weights for each block of a ViT-B all of them are twice what they adapt. The
other one does the same within a narrow bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.sam.trunk import Unchanged


class PublishedAdapter(nn.Module):
    """Weigh channels, then look around at half the resolution, over all channels.

    Unlike the release, the scale of its last norm begins at 0, so that a SAM begins as what it is.
    """

    def __init__(self, width: int, shrink: int) -> None:
        """Fit slices of so many channels."""
        super().__init__()
        inner = width // shrink
        self.gate = nn.Sequential(
            nn.Linear(width, inner, bias=False), nn.ReLU(), nn.Linear(inner, width, bias=False), nn.Sigmoid()
        )
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.up = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False)
        for layer in (self.down, self.up):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, slices: Tensor) -> Tensor:
        """Return what is added to slices (B, H, W, C)."""
        height, width = slices.shape[1:3]
        weighed = slices * self.gate(slices.mean(dim=(1, 2), keepdim=True))
        around = F.relu(self.up(F.relu(self.down(weighed.permute(0, 3, 1, 2)))))
        change: Tensor = self.norm(weighed + around[..., :height, :width].permute(0, 2, 3, 1))
        return change


class BottleneckAdapter(nn.Module):
    """Look around and weigh channels, both within a few channels; each looks around by itself."""

    def __init__(self, width: int, shrink: int) -> None:
        """Fit slices of so many channels."""
        super().__init__()
        inner = width // shrink
        self.down = nn.Linear(width, inner)
        self.around = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.norm = nn.LayerNorm(inner)
        self.gate = nn.Linear(inner, inner)
        self.up = nn.Linear(inner, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, slices: Tensor) -> Tensor:
        """Return what is added to slices (B, H, W, C)."""
        inside = F.gelu(self.down(slices))
        seen = self.around(inside.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        inside = inside + F.gelu(self.norm(seen))
        gate = torch.sigmoid(self.gate(inside.mean(dim=(1, 2), keepdim=True)))
        change: Tensor = self.up(inside * gate)
        return change


ADAPTERS: dict[str, Callable[[int, int], nn.Module]] = {
    "published": PublishedAdapter,
    "bottleneck": BottleneckAdapter,
}


class EncoderAdapters(Unchanged, nn.Module):
    """An adapter beside the MLP of each block; see `BlockChanges`."""

    def __init__(self, kind: str, widths: Sequence[int], shrink: int) -> None:
        """Fit blocks that give so many channels; `kind` is a key of `ADAPTERS`."""
        super().__init__()
        self.blocks = nn.ModuleList(ADAPTERS[kind](width, shrink) for width in widths)

    def beside(self, block: int, normed: Tensor) -> Tensor | float:
        """Return what is added beside the MLP of a block."""
        change: Tensor = self.blocks[block](normed)
        return change
