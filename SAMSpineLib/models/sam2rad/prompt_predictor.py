"""The prompt predictor network: learned queries look at a frozen SAM's features and say where their structure is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import TwoWayAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.sam2rad.config import Sam2RadConfig

BOX_TOKENS = 2
DROPOUT = 0.1
# A SAM's masks have four values for each of its embedding, along either side.
MASK_SCALE = 4
WAVELENGTHS = 10_000.0


@dataclass(frozen=True, eq=False)
class LearnedPrompts:
    """What the queries of B structures say.

    Attributes:
        box: (B, 4) x0, y0, x1, y1 as shares of the image's side.
        mask: (B, 1, S/4, S/4) logits of a first mask.
        latent: (B, N - 2, C) prompts for the mask decoder.
        presence: (B,) logit that the structure is there at all.
    """

    box: Tensor
    mask: Tensor = field(repr=False)
    latent: Tensor = field(repr=False)
    presence: Tensor


class PromptPredictor(nn.Module):
    """Let queries and feature maps look at each other, from the coarsest level to the finest.

    Source: Wahd et al., arXiv 2409.06821, section 3.2. Unlike the release, a box cannot reach beyond the image.
    """

    def __init__(self, config: Sam2RadConfig) -> None:
        """Begin with weights at random."""
        super().__init__()
        width = config.channels
        self.finest = config.finest
        self.adapters = nn.ModuleList(
            nn.Identity() if channels == width else nn.Conv2d(channels, width, 1) for channels in config.levels
        )
        self.blocks = nn.ModuleList(
            TwoWayAttentionBlock(width, config.heads, config.hidden, skip_first_layer_pe=level == 0)
            for level in range(len(config.levels))
        )
        self.places = PositionEmbeddingSine(width, warmup_cache=False)
        self.box_head = nn.Sequential(nn.Linear(BOX_TOKENS * width, width), nn.ReLU(), nn.Linear(width, 4))
        inner = config.mask_channels
        self.mask_head = nn.Sequential(
            nn.Conv2d(width, inner, 3, padding=1), nn.ReLU(), nn.Dropout2d(DROPOUT),
            nn.Conv2d(inner, inner, 3, padding=1), nn.ReLU(), nn.Dropout2d(DROPOUT),
            nn.Conv2d(inner, 1, 1),
        )  # fmt: skip
        self.presence_head = nn.Linear(config.tokens * width, 1)

    def forward(self, maps: Sequence[Tensor], queries: Tensor, dense: Tensor) -> LearnedPrompts:
        """Predict prompts.

        Args:
            maps: of the levels, coarse to fine, (B, C_i, H_i, W_i).
            queries: (B, N, C).
            dense: (B, C, H, W) or (B, C, 1, 1), SAM's embedding of "no mask".
        """
        order = waves(queries.shape[1], queries.shape[2]).to(queries)
        for level, adapter, block in zip(maps, self.adapters, self.blocks, strict=True):
            keys = adapter(level)
            keys = keys + F.interpolate(dense, size=keys.shape[-2:], mode="nearest")
            where = self.places(keys).flatten(2).transpose(1, 2).to(keys.dtype)
            queries, seen = block(queries=queries, keys=keys.flatten(2).transpose(1, 2), query_pe=order, key_pe=where)
            dense = seen.transpose(1, 2).reshape(keys.shape)
        mask = self.mask_head(dense)
        if self.finest != MASK_SCALE:
            scale = MASK_SCALE / self.finest
            mask = F.interpolate(mask, scale_factor=scale, mode="bilinear", align_corners=False)
        return LearnedPrompts(
            _corners(torch.sigmoid(self.box_head(queries[:, :BOX_TOKENS].flatten(1)))),
            mask,
            queries[:, BOX_TOKENS:],
            self.presence_head(queries.flatten(1))[:, 0],
        )


def waves(count: int, channels: int) -> Tensor:
    """Return the position code (1, count, channels) of Vaswani et al. 2017 for tokens in a row."""
    rates = WAVELENGTHS ** (-torch.arange(0, channels, 2) / channels)
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(1, count, channels)


def _corners(raw: Tensor) -> Tensor:
    """Return boxes (B, 4) from where they begin and the share of what is left that they fill, all 0..1."""
    begin, share = raw[:, :2], raw[:, 2:]
    return torch.cat([begin, begin + share * (1 - begin)], dim=1)
