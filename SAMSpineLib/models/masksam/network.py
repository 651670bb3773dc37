"""MaskSAM: a frozen SAM that is prompted by what a network has learnt, and says what each of its masks is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from SAMSpineLib.models.masksam.config import MaskSamConfig
from SAMSpineLib.models.masksam.depth_adapters import EncoderDepth
from SAMSpineLib.models.masksam.depth_decoder import DecoderDepth
from SAMSpineLib.models.masksam.prompt_generator import PromptGenerator, StackPrompts, fused_boxes
from SAMSpineLib.models.sam.trunk import levels, walk, widths
from SAMSpineLib.models.sam2rad.frozen_sam import BOX_END, BOX_START, FrozenSam
from SAMSpineLib.models.taught_file import LearntOnSam

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

# So many pairs of query and slice are decoded at once, however many there are.
AT_ONCE = 16
TOKEN_SCALE = 1 / 16


@dataclass(frozen=True, eq=False)
class StackAnswer:
    """What N queries answer on B stacks of D slices.

    Attributes:
        kinds: (B, N, K + 1) logits of what the mask of a query is, the same in all slices of a stack; the last one is
            "no object".
        masks: (B, N, D, h, w) logits.
        prompts: that led to them.
    """

    kinds: Tensor
    masks: Tensor = field(repr=False)
    prompts: StackPrompts


class MaskSam(LearntOnSam):
    """Segment all classes of a stack of slices, without a prompt.

    Source: Xie et al., arXiv 2403.14103. Ours, where the release errs or is bound to a depth: a query is of one class
    in all slices of a stack, so that no name changes from a slice to the next; a first mask is no sigmoid twice; an
    empty one does not pull its box; whatever is learnt of depth is stretched over any number of slices. SAM sees the
    slices in grey, where the release learns colours. In our own sizes queries are anchored; see `Anchors`.
    """

    def __init__(self, config: MaskSamConfig, network: Sam | SAM2Base) -> None:
        """Build on a SAM, which is left as it is.

        Raises:
            ModelError: if the shape is not for a SAM of this kind.
        """
        super().__init__()
        self.config = config
        self.sam = FrozenSam(network, encoding=True)
        trunk = self.sam.trunk
        self._taps = _finer_than_embedding(trunk, newer=self.sam.newer)
        channels, deep = config.channels, config.code[0]
        self.encoder = EncoderDepth(widths(trunk), config.shrink, deep)
        scales = [2 ** (place + 1) if self.sam.newer else 1 for place in range(len(self._taps))]
        shown = [widths(trunk)[block] for block in self._taps]
        self.generator = PromptGenerator(config, list(zip(shown, scales, strict=True)))
        self.decoder = DecoderDepth(channels, channels // config.shrink, len(self.sam.decoder.transformer.layers))
        self.places = nn.Parameter(torch.zeros(1, channels, *config.code))
        self.kind = nn.Parameter(torch.randn(channels) * TOKEN_SCALE)
        self.says = nn.Linear(channels, 1, bias=False)
        self.class_head = nn.Linear(channels, config.classes + 1)
        self.remember_learning()

    def forward(self, pictures: Tensor) -> StackAnswer:
        """Answer for B stacks of D slices (B, D, H, W) as they are shown, at most S pixels a side; grey 0..255."""
        depth = pictures.shape[1]
        maps, taps = self.encode(pictures)
        embedding, *finer = (_stacked(one, depth) for one in (maps[0], *taps))
        prompts: StackPrompts = self.generator(embedding, finer)
        share = max(1, AT_ONCE // (len(pictures) * depth))
        boxes = fused_boxes(prompts)
        parts = [self._decoded(maps, prompts, boxes, one) for one in torch.arange(self.config.queries).split(share)]
        masks, tokens = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        weight = self.says(tokens).softmax(dim=2)
        return StackAnswer(self.class_head((weight * tokens).sum(dim=2)), masks, prompts)

    def encode(self, pictures: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Return the maps (B * D, C_i, H_i, W_i), coarse to fine, and what finer levels of the generator look at."""
        images = self.sam.images(pictures.flatten(0, 1).unbind(0))
        after = walk(self.sam.trunk, images, self.encoder.at(pictures.shape[1]))
        stages = [after[block] for block in levels(self.sam.trunk)] if self.sam.newer else after[-1:]
        return self.sam.pyramid(stages), [after[block].permute(0, 3, 1, 2) for block in self._taps]

    def _decoded(
        self, maps: tuple[Tensor, ...], prompts: StackPrompts, boxes: Tensor, which: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the masks (B, n, D, h, w) and class tokens (B, n, D, C) of some queries."""
        masks, kinds = prompts.masks[:, which], prompts.kinds[:, which]
        stacks, count, depth = masks.shape[:3]
        corners = boxes[:, which].reshape(-1, 2, 2) * self.sam.image_size - 0.5
        labels = torch.tensor([[BOX_START, BOX_END]], dtype=torch.int32, device=corners.device)
        sparse = self.sam.embed(corners, labels.expand(len(corners), -1))
        token = (self.kind + kinds).flatten(0, 2)[:, None]
        dense = self.sam.embed_mask(masks.flatten(0, 2)[:, None])
        size = (depth, *dense.shape[-2:])
        place = nn.functional.interpolate(self.places, size=size, mode="trilinear", align_corners=False)[0]
        dense = dense + place.transpose(0, 1).repeat(stacks * count, 1, 1, 1)
        shown = tuple(
            one.unflatten(0, (stacks, 1, depth)).expand(-1, count, *([-1] * one.dim())).flatten(0, 2) for one in maps
        )
        logits, tokens = self.decoder(self.sam, shown, torch.cat([sparse, token.to(sparse)], dim=1), dense, depth)
        return logits.unflatten(0, (stacks, count, depth)), tokens.unflatten(0, (stacks, count, depth))


def _stacked(slices: Tensor, depth: int) -> Tensor:
    """Return slices (B * D, C, H, W) as stacks (B, C, D, H, W)."""
    stacks: Tensor = slices.unflatten(0, (-1, depth))
    return stacks.transpose(1, 2)


def _finer_than_embedding(trunk: nn.Module, *, newer: bool) -> tuple[int, ...]:
    """Return the blocks that finer levels look at: all levels of a SAM, those finer than its embedding of a SAM 2."""
    return levels(trunk)[2:] if newer else levels(trunk)
