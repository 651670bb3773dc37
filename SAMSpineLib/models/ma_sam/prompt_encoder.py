"""The multi-atlas prompt encoder: from what atlases say of each pixel to maps of the resolutions that a decoder has.

Source: Fan et al., IEEE TMI 2025, release.
"""

from __future__ import annotations

import torch
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.ma_sam.config import MaSamConfig


class DoubleConvolution(nn.Sequential):
    """Two convolutions, of which the first one looks around."""

    def __init__(self, into: int, out: int) -> None:
        """Begin with weights at random."""
        inner = into // 2 if into > out else out // 2
        super().__init__(
            nn.Conv2d(into, inner, 3, padding=1), LayerNorm2d(inner), nn.GELU(),
            nn.Conv2d(inner, out, 1), LayerNorm2d(out), nn.GELU(),
        )  # fmt: skip


class PromptEncoder(nn.Module):
    """See a prompt at each resolution, from the image's down to the embedding's."""

    def __init__(self, config: MaSamConfig) -> None:
        """Begin with weights at random."""
        super().__init__()
        widths = (config.prompt_channels, *config.widths, config.channels)
        self.levels = nn.ModuleList(
            DoubleConvolution(into, out) for into, out in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, prompt: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the prompt (B, C, S/16, S/16) as the SAM's embedding has it, and finer ones, coarse to fine.

        Args:
            prompt: (B, P, S, S), what `pseudo_masks` makes.
        """
        seen = [self.levels[0](prompt)]
        for level in self.levels[1:]:
            seen.append(level(F.max_pool2d(seen[-1], 2)))
        *finer, coarse = seen
        return coarse, finer[::-1]


def class_probabilities(maps: Tensor, classes: int) -> Tensor:
    """Return how many of K label maps say which class a pixel has: (B, classes, H, W), as shares of 1.

    Neither the order of the maps nor their number is left in it.

    Args:
        maps: (B, K, H, W) indices of classes.
        classes: how many there are.
    """
    return torch.stack([(maps == kind).float().mean(dim=1) for kind in range(classes)], dim=1)
