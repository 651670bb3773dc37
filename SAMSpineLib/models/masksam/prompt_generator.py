"""The prompt generator: from an encoder's features to first masks, boxes, and what each query takes its mask for.

Source: Xie et al., arXiv 2403.14103, section 3.2 and release: a small U-Net on the features of a whole stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.masksam.config import MaskSamConfig
from SAMSpineLib.models.masksam.convolutions import Finer, Mixing, Surroundings

# A SAM's masks have four values for each of its embedding, along either side.
MASK_SCALE = 4
# Half axes of the ellipse that a query begins with: of the height that is its share of a slice, and of the width.
HIGH, WIDE = 1.5, 0.7
# Where a mask is nowhere, its mean is that of the whole slice.
EVERYWHERE = 1e-6


@dataclass(frozen=True, eq=False)
class StackPrompts:
    """What N queries say of B stacks of D slices.

    Attributes:
        masks: (B, N, D, h, w) logits of first masks.
        boxes: (B, N, D, 4) x0, y0, x1, y1 as shares of the image's side, as they were learnt.
        kinds: (B, N, D, C) tokens that say what a mask is of.
    """

    masks: Tensor = field(repr=False)
    boxes: Tensor
    kinds: Tensor = field(repr=False)


class PromptGenerator(nn.Module):
    """Make prompts for all queries of a stack at once; depth is never made coarser."""

    def __init__(self, config: MaskSamConfig, taps: Sequence[tuple[int, int]]) -> None:
        """Begin with weights at random.

        Args:
            config: its shape.
            taps: channels of the encoder's features that finer levels look at, and how many times finer than the
                embedding they are.

        Raises:
            ModelError: if the levels of the shape are not those of a SAM with such features.
        """
        super().__init__()
        if len(taps) != len(config.levels) or config.levels[-1][1] != MASK_SCALE:
            msg = (
                f"The prompt generator needs a level for each of the encoder's {len(taps)} features, the last one "
                f"{MASK_SCALE} times finer than the embedding; it has {config.levels}: choose the shape for this SAM"
            )
            raise ModelError(msg)
        lean = config.lean
        self.base = nn.Sequential(
            _block(config.channels, config.base, lean=lean), _block(config.base, config.base, lean=lean)
        )
        below = [(config.base, 1), *config.levels]
        self.levels = nn.ModuleList(
            _Level(one, level, tap, lean=lean) for one, level, tap in zip(below, config.levels, taps, strict=False)
        )
        widths = [width for width, _ in below]
        self.mask_head = Mixing(widths[-1], config.queries)
        self.box_head = Mixing(sum(widths), config.queries)
        self.kind_head = nn.Sequential(
            _around(sum(widths), config.queries, lean=lean),
            nn.InstanceNorm3d(config.queries, affine=True),
            nn.GELU(),
        )
        self.token_grid = config.token_grid
        self.anchors = Anchors(config, sum(widths)) if config.anchored else None

    def forward(self, embedding: Tensor, taps: Sequence[Tensor]) -> StackPrompts:
        """Make prompts.

        Args:
            embedding: (B, C, D, H, W).
            taps: (B, C_i, D, H_i, W_i) of the finer levels, coarse to fine.
        """
        x = self.base(embedding)
        seen = [x]
        for level, tap in zip(self.levels, taps, strict=True):
            x = level(x, tap)
            seen.append(x)
        corners = self.box_head(_pooled(seen, (2, 2)))
        masks, kinds = self.mask_head(x), self.kind_head(_pooled(seen, self.token_grid)).flatten(3)
        if self.anchors is not None:
            masks = masks + self.anchors.at(masks.shape[-2:])
            kinds = kinds + self.anchors.named(masks, seen)
        return StackPrompts(masks, boxes_of(corners), kinds)


class _Level(nn.Module):
    """Twice as fine as the level below, or as fine, beside features of the encoder that are brought to its size."""

    def __init__(self, below: tuple[int, int], level: tuple[int, int], tap: tuple[int, int], *, lean: bool) -> None:
        super().__init__()
        width = level[0]
        self.up = Finer(below[0], width) if level[1] > below[1] else Mixing(below[0], width)
        lifts: list[nn.Module] = []
        channels, scale = tap
        while scale < level[1]:
            lifts += [Finer(channels, width), _block(width, width, lean=lean)]
            channels, scale = width, 2 * scale
        self.skip = nn.Sequential(*(lifts or [_block(channels, width, lean=lean)]))
        self.mix = _block(2 * width, width, lean=lean)

    def forward(self, below: Tensor, tap: Tensor) -> Tensor:
        mixed: Tensor = self.mix(torch.cat([self.up(below), self.skip(tap)], dim=1))
        return mixed


class Anchors(nn.Module):
    """Where each query begins to look, and what it learns from where its mask lies.

    Ours. Queries of which none is at home anywhere take hundreds of epochs to share out what is there between them, as
    in DETR. Vertebrae lie above each other: each query begins with a flat ellipse at its own height, and may learn to
    look elsewhere. That what a mask is of is read from the features within it is mask pooling, as in OpenSeg (Ghiasi
    et al., ECCV 2022).
    """

    def __init__(self, config: MaskSamConfig, channels: int) -> None:
        """Begin with ellipses, and with names at random."""
        super().__init__()
        self.first = nn.Parameter(_ellipses(config.queries))
        self.name = nn.Linear(channels, config.channels)

    def at(self, size: Sequence[int]) -> Tensor:
        """Return what is added to first masks of a size: (1, N, 1, h, w) logits."""
        return F.interpolate(self.first[None], size=tuple(size), mode="bilinear", align_corners=False)[:, :, None]

    def named(self, masks: Tensor, seen: Sequence[Tensor]) -> Tensor:
        """Return tokens (B, N, D, C): the mean of each level's features (B, C_i, D, H_i, W_i) within first masks."""
        inside, means = masks.detach().sigmoid(), []
        for one in seen:
            share = F.interpolate(inside, size=one.shape[2:], mode="area").flatten(3) + EVERYWHERE
            means.append(torch.einsum("bndp,bcdp->bndc", share / share.sum(dim=-1, keepdim=True), one.flatten(3)))
        tokens: Tensor = self.name(torch.cat(means, dim=-1))
        return tokens


def _ellipses(queries: int, side: int = 32) -> Tensor:
    """Return logits (N, side, side) that are above zero in an ellipse around a height for each query."""
    places = (torch.arange(side) + 0.5) / side
    heights = (torch.arange(queries) + 0.5) / queries
    down = (places - heights[:, None]) * queries / HIGH
    across = (places - 0.5) / WIDE
    return 2 * (1 - down[:, :, None].square() - across.square()).clamp(min=-3)


def boxes_of(raw: Tensor) -> Tensor:
    """Return boxes (..., 4) within the image, x0 <= x1 and y0 <= y1, for any values (..., 2, 2).

    The first row says where a box begins, the second one which share of what is left it fills.
    """
    begin, share = torch.sigmoid(raw).unbind(-2)
    return torch.cat([begin, begin + (1 - begin) * share], dim=-1)


def tight_boxes(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the boxes (..., 4) around what is above 0 in masks (..., h, w; logits), and (...,) whether anything is."""
    inside = masks > 0
    sides = []
    for axis in (-2, -1):  # columns are left when rows are gone, and the other way round
        line = inside.any(dim=axis).float()
        size = line.shape[-1]
        sides.append((line.argmax(dim=-1) / size, 1 - line.flip(-1).argmax(dim=-1) / size))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=-1), inside.flatten(-2).any(dim=-1)


def fused_boxes(prompts: StackPrompts) -> Tensor:
    """Return the boxes (B, N, D, 4) that a SAM is told: the means of those that were learnt and those of the masks.

    An empty mask has no box, and no say.
    """
    tight, any_mask = tight_boxes(prompts.masks.detach())
    return torch.where(any_mask[..., None], (prompts.boxes + tight) / 2, prompts.boxes)


def _pooled(seen: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return all levels, one beside the other, in slices of one size."""
    return torch.cat([F.adaptive_avg_pool3d(one, (one.shape[2], *size)) for one in seen], dim=1)


def _around(channels: int, width: int, *, lean: bool) -> nn.Module:
    """Return what looks around each place: at all channels together, or, where it is lean, at each by itself first."""
    if not lean:
        return Surroundings(channels, width)
    return nn.Sequential(Surroundings(channels, channels, groups=channels), Mixing(channels, width))


def _block(channels: int, width: int, *, lean: bool) -> nn.Module:
    around = _around(channels, width, lean=lean)
    return nn.Sequential(around, nn.InstanceNorm3d(width, affine=True), nn.LeakyReLU(0.01))
