"""Convolutions over stacks of slices, each computed as one over slices.

Their weights are those of torch's convolutions over volumes, and so are their answers. Of those in oneDNN, in bfloat16,
part of the weights' gradient is left at random or memory is damaged (torch 2.15; 3 x 3 x 3 and 1 x 1 x 1, on AMD and
Intel); those over slices are sound.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Surroundings(nn.Conv3d):
    """A convolution over places in a slice and in those beside it; beyond a stack there is nothing."""

    def __init__(self, channels: int, width: int, *, groups: int = 1) -> None:
        """Begin with weights at random."""
        super().__init__(channels, width, 3, padding=1, groups=groups)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return stacks (B, width, D, H, W) for stacks (B, channels, D, H, W)."""
        stacks, depth = len(input), input.shape[2]
        padded = F.pad(input, (0, 0, 0, 0, 1, 1))
        beside = torch.stack([padded[:, :, start : start + depth] for start in range(3)], dim=2)
        slices = beside.permute(0, 3, 1, 2, 4, 5).flatten(0, 1).flatten(1, 2)  # (B * D, channels * 3, H, W)
        seen = F.conv2d(slices, self.weight.flatten(1, 2), self.bias, padding=1, groups=self.groups)
        return stacked(seen, stacks)


class Mixing(nn.Conv3d):
    """A convolution that mixes the channels of each place."""

    def __init__(self, channels: int, width: int) -> None:
        """Begin with weights at random."""
        super().__init__(channels, width, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return stacks (B, width, D, H, W) for stacks (B, channels, D, H, W)."""
        return stacked(F.conv2d(in_slices(input), self.weight.flatten(2)[..., None], self.bias), len(input))


class Finer(nn.ConvTranspose3d):
    """A convolution that makes slices twice as fine, and no more of them."""

    def __init__(self, channels: int, width: int) -> None:
        """Begin with weights at random."""
        super().__init__(channels, width, (1, 2, 2), (1, 2, 2))

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002, ARG002
        """Return stacks (B, width, D, 2 H, 2 W) for stacks (B, channels, D, H, W)."""
        fine = F.conv_transpose2d(in_slices(input), self.weight[:, :, 0], self.bias, stride=2)
        return stacked(fine, len(input))


def in_slices(stacks: Tensor) -> Tensor:
    """Return the slices (B * D, C, H, W) of stacks (B, C, D, H, W)."""
    return stacks.transpose(1, 2).flatten(0, 1)


def stacked(slices: Tensor, stacks: int) -> Tensor:
    """Return the stacks (B, C, D, H, W) that slices (B * D, C, H, W) make up."""
    return cast("Tensor", slices.unflatten(0, (stacks, -1)).transpose(1, 2))
