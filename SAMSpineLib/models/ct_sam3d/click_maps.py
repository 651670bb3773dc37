"""Prompts as images: what the decoder sees of clicks, boxes, scribbles and masks.

Four channels: previous probability, positive clicks, negative clicks, box. Source: CT-SAM3D (arXiv 2403.15063). Where
the release lets a later click overwrite an earlier one and normalises over the batch, these maps take the maximum and
stand for themselves; where it ignores boxes, these paint them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

PROMPT_CHANNELS = 4


def gaussian_map(points: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """Paint points into an image of `size` (K, J, I): exp(-d^2 / 2 sigma^2) of the nearest one.

    Args:
        points: (N, 3) continuous voxel indices in the order K, J, I; N may be 0.
        size: the image's shape.
        sigma: width in voxels.
    """
    if points.shape[0] == 0:
        return torch.zeros(tuple(size), device=points.device)
    falls = [
        torch.exp(-0.5 * ((torch.arange(n, device=points.device)[None] - points[:, axis, None]) / sigma) ** 2)
        for axis, n in enumerate(size)
    ]
    heat = torch.zeros(tuple(size), device=points.device)
    for k, j, i in zip(*falls, strict=True):
        heat = torch.maximum(heat, k[:, None, None] * j[None, :, None] * i[None, None, :])
    return heat / heat.max().clamp(min=1e-3)


def shrink_prompt(prompt: Tensor, size: Sequence[int]) -> Tensor:
    """Bring prompt maps (B, 4, N, N, N) to a decoder scale.

    Clicks are pooled by maximum, masks and boxes by mean: plain interpolation, as published, samples so sparsely on the
    coarse scales that most clicks vanish from them.
    """
    if tuple(prompt.shape[2:]) == tuple(size):
        return prompt
    clicks = F.adaptive_max_pool3d(prompt[:, 1:3], tuple(size))
    areas = F.adaptive_avg_pool3d(prompt[:, 0::3], (size[0], size[1], size[2]))
    return torch.cat([areas[:, :1], clicks, areas[:, 1:]], dim=1)
