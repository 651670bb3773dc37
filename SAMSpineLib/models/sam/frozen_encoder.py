"""The image encoder of a SAM or SAM 2 on batches, for what is learnt on top of it; no gradient reaches its weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from SAMSpineLib.models.sam.networks import PIXEL_MEAN, PIXEL_STD

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam


class FrozenEncoder(nn.Module):
    """Show slices to a copy of a SAM's image encoder, block by block if adapters want to look in."""

    def __init__(self, network: Sam | SAM2Base, *, encoding: bool = True) -> None:
        """Take what is needed of a network, which stays as it is; its image encoder only for `encoding`."""
        super().__init__()
        source: Any = network
        self.newer = hasattr(source, "sam_mask_decoder")
        self.encoder: Any = (
            copy.deepcopy(source.image_encoder).requires_grad_(requires_grad=False) if encoding else None
        )
        self.image_size = int(source.image_size if self.newer else source.image_encoder.img_size)
        alone = source.no_mem_embed.detach()[0, :, :, None] if self.newer else torch.zeros(1)
        for name, value in (("mean", PIXEL_MEAN), ("deviation", PIXEL_STD)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)
        self.register_buffer("no_memory", alone.clone().reshape(1, -1, 1, 1))

    @property
    def trunk(self) -> nn.Module:
        """What of the image encoder has the attention: all of SAM's, of SAM 2 without what makes the pyramid."""
        found: nn.Module = self.encoder.trunk if self.newer else self.encoder
        return found

    def images(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return slices as they are shown, (H, W) of grey values 0..255, as the network sees them: (B, 3, S, S)."""
        return torch.stack([self._prepared(one) for one in pictures])

    def necked(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the maps (B, C, H_i, W_i), coarse to fine, that the neck makes of what the trunk has made of B slices.

        The first one is the embedding, without what a SAM 2 remembers. SAM has no other; those of SAM 2 have all the
        same number of channels.

        Args:
            stages: (B, H_i, W_i, C_i) coarse to fine; of SAM the last block's, of SAM 2 those of all stages.
        """
        fine_first = [one.permute(0, 3, 1, 2) for one in reversed(stages)]
        if not self.newer:
            return (self.encoder.neck(fine_first[-1]),)
        maps = self.encoder.neck(fine_first)[0]
        return tuple(reversed(maps[: len(maps) - self.encoder.scalp]))

    def alone(self, embedding: Tensor) -> Tensor:
        """Return the embedding (B, C, H, W) of slices that stand alone: a SAM 2 is told that it remembers nothing."""
        return embedding + self.get_buffer("no_memory") if self.newer else embedding

    def _prepared(self, picture: Tensor) -> Tensor:
        """Return a picture as (3, S, S), with the colours that were in training; what is left of the square is 0."""
        shown = (picture - self.get_buffer("mean")) / self.get_buffer("deviation")
        height, width = picture.shape
        return F.pad(shown, (0, self.image_size - width, 0, self.image_size - height))
