"""The published image encoder: ResTv2 brought to three dimensions.

Sources: CT-SAM3D (arXiv 2403.15063), ResT V2 (Zhang and Yang, NeurIPS 2022, arXiv 2204.07366).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.ct_sam3d.layers import ChannelNorm

HEADS = (1, 2, 4, 8)
REDUCTIONS = (8, 4, 2, 1)


class EfficientAttention(nn.Module):
    """Multi-head self-attention whose keys and values live on a coarser grid (B, C, K, J, I)."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        """Create projections; `reduction` is the stride between queries and keys."""
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)
        self.reduce: nn.Module = nn.Identity()
        if reduction > 1:
            conv = nn.Conv3d(
                channels, channels, reduction + 1, stride=reduction, padding=reduction // 2, groups=channels
            )
            self.reduce = nn.Sequential(conv, ChannelNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Attend from every voxel to every reduced voxel."""
        batch, channels, *size = x.shape
        query = self._split(self.query(x.flatten(2).transpose(1, 2)))
        key, value = self.key_value(self.reduce(x).flatten(2).transpose(1, 2)).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(query, self._split(key), self._split(value))
        joined = self.project(attended.transpose(1, 2).reshape(batch, -1, channels))
        result: Tensor = joined.transpose(1, 2).reshape(batch, channels, *size)
        return result

    def _split(self, tokens: Tensor) -> Tensor:
        """Split (B, N, C) into heads (B, H, N, C / H)."""
        heads: Tensor = tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return heads


class ResTBlock(nn.Module):
    """Pre-normalised attention and MLP around shortcuts."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        """Create one block of `channels` features."""
        super().__init__()
        self.norm_attention = ChannelNorm(channels)
        self.attention = EfficientAttention(channels, heads, reduction)
        self.norm_mlp = ChannelNorm(channels)
        self.mlp = nn.Sequential(nn.Conv3d(channels, 4 * channels, 1), nn.GELU(), nn.Conv3d(4 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return x after attention and MLP."""
        x = x + self.attention(self.norm_attention(x))
        result: Tensor = x + self.mlp(self.norm_mlp(x))
        return result


class PixelAttention(nn.Module):
    """Position by a gate: x * sigmoid(depthwise convolution of x)."""

    def __init__(self, channels: int) -> None:
        """Create the depthwise convolution."""
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every voxel by its neighbourhood."""
        return x * torch.sigmoid(self.conv(x))


class ResTv2Encoder(nn.Module):
    """Encode (B, 1, N, N, N) into four scales, finest first: N/4, N/8, N/16, N/32."""

    def __init__(self, dims: Sequence[int], depths: Sequence[int], skips: Sequence[int]) -> None:
        """Create stem, stages of `dims` channels and `depths` blocks, and 1x1 mappers to `skips` channels."""
        super().__init__()
        half = dims[0] // 2
        self.stem = nn.Sequential(
            nn.Conv3d(1, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm3d(half),
            nn.ReLU(inplace=True),
            nn.Conv3d(half, dims[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm3d(dims[0]),
            nn.ReLU(inplace=True),
            nn.Conv3d(dims[0], dims[0], 1),
        )
        self.merges = nn.ModuleList(
            nn.Identity()
            if stage == 0
            else nn.Sequential(
                nn.Conv3d(dims[stage - 1], dims[stage], 3, stride=2, padding=1), ChannelNorm(dims[stage])
            )
            for stage in range(len(dims))
        )
        self.positions = nn.ModuleList(PixelAttention(width) for width in dims)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResTBlock(width, heads, reduction) for _ in range(depth)), ChannelNorm(width))
            for width, depth, heads, reduction in zip(dims, depths, HEADS, REDUCTIONS, strict=True)
        )
        self.mappers = nn.ModuleList(nn.Conv3d(width, skip, 1) for width, skip in zip(dims, skips, strict=True))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the pyramid, finest scale first."""
        pyramid, x = [], self.stem(image)
        for merge, position, stage, mapper in zip(self.merges, self.positions, self.stages, self.mappers, strict=True):
            x = stage(position(merge(x)))
            pyramid.append(mapper(x))
        return pyramid
