"""Adapters through which a SAM that knows single slices sees those beside them; at first they change nothing.

Source: Xie et al., arXiv 2403.14103, section 3.3. Unlike the release, adapters of the encoder act where windows have
been put back together, so that what lies side by side in depth are slices and not windows; and nothing is learnt for a
certain number of slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.masksam.convolutions import Surroundings

# What an adapter beside an MLP adds counts half (arXiv 2403.14103, release).
BESIDE = 0.5


class DepthConvolution(nn.Module):
    """Look around each place of some slices, in the slice and in those beside it: the paper's DConvAdapter."""

    def __init__(self, width: int, inner: int) -> None:
        """Fit slices of so many channels."""
        super().__init__()
        self.down = nn.Linear(width, inner)
        self.around = Surroundings(inner, inner, groups=inner)
        self.norm = nn.LayerNorm(inner)
        self.up = _nothing(nn.Linear(inner, width))

    def forward(self, slices: Tensor, depth: int) -> Tensor:
        """Return what is added to the slices (B * depth, H, W, C) of B stacks."""
        inside = F.gelu(self.down(slices))
        stacks = inside.unflatten(0, (-1, depth)).permute(0, 4, 1, 2, 3)
        seen = self.norm(self.around(stacks).permute(0, 2, 3, 4, 1).flatten(0, 1))
        change: Tensor = self.up(inside + F.gelu(seen))
        return change


class DepthTokens(nn.Module):
    """Let each token look at itself in the slices beside: the paper's DMLPAdapter.

    There an MLP reads the whole depth and is made for it; here a convolution along depth takes its place.
    """

    def __init__(self, width: int, inner: int) -> None:
        """Fit tokens of so many channels."""
        super().__init__()
        self.down = nn.Linear(width, inner)
        self.along = nn.Conv1d(inner, inner, 3, groups=inner)
        self.up = _nothing(nn.Linear(inner, width))

    def forward(self, tokens: Tensor, depth: int) -> Tensor:
        """Return what is added to the tokens (B * depth, P, C) of B stacks."""
        inside = F.gelu(self.down(tokens))
        stacks = inside.unflatten(0, (-1, depth)).permute(0, 2, 3, 1)  # (B, P, C, depth)
        seen = self.along(F.pad(stacks.flatten(0, 1), (1, 1))).unflatten(0, stacks.shape[:2]).permute(0, 3, 1, 2)
        change: Tensor = self.up(inside + F.gelu(seen.flatten(0, 1)))
        return change


class EncoderDepth(nn.Module):
    """Where a slice lies in its stack, and two adapters for each block of an image encoder."""

    def __init__(self, widths: Sequence[int], shrink: int, anchors: int) -> None:
        """Fit blocks that give so many channels; `anchors` places in depth are learnt, and stretched over a stack."""
        super().__init__()
        self.code = nn.Parameter(torch.zeros(1, widths[0], anchors))
        self.space = nn.ModuleList(DepthConvolution(width, width // shrink) for width in widths)
        self.channels = nn.ModuleList(DepthConvolution(width, width // shrink) for width in widths)

    def at(self, depth: int) -> EncoderDepthAt:
        """Return what is done to the slices of stacks of a depth."""
        return EncoderDepthAt(self, depth)


@dataclass(frozen=True, eq=False)
class EncoderDepthAt:
    """The adapters at work on stacks of a depth; see `BlockChanges`."""

    adapters: EncoderDepth
    depth: int

    def placed(self, patches: Tensor) -> Tensor:
        """Return the patches (B * depth, H, W, C) with the place of their slices."""
        code = F.interpolate(self.adapters.code, size=self.depth, mode="linear", align_corners=False)
        return patches + code[0].T.repeat(len(patches) // self.depth, 1)[:, None, None]

    def attended(self, block: int, change: Tensor) -> Tensor:
        """Return what the attention of a block adds, and what is seen around."""
        around: Tensor = self.adapters.space[block](change, self.depth)
        return change + around

    def beside(self, block: int, normed: Tensor) -> Tensor:
        """Return what is added beside the MLP of a block."""
        around: Tensor = self.adapters.channels[block](normed, self.depth)
        return BESIDE * around


def _nothing(layer: nn.Linear) -> nn.Linear:
    """Let a layer begin with nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
