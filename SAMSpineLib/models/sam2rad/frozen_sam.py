"""The parts of a SAM or SAM 2 that Sam2Rad speaks to, on batches and with gradients, none of which reaches them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from SAMSpineLib.models.sam.frozen_encoder import FrozenEncoder

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

BOX_START, BOX_END = 2, 3  # the labels of a box's corners


class FrozenSam(FrozenEncoder):
    """Embed prompts and decode masks with a SAM's own modules.

    All are copies, of which the mask decoder's may be changed.
    """

    def __init__(self, network: Sam | SAM2Base, *, encoding: bool = False) -> None:
        """Take what is needed of a network, which stays as it is; its image encoder only for `encoding`."""
        super().__init__(network, encoding=encoding)
        source: Any = network
        encoder = source.sam_prompt_encoder if self.newer else source.prompt_encoder
        decoder = source.sam_mask_decoder if self.newer else source.mask_decoder
        self.prompts: Any = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self.decoder: Any = copy.deepcopy(decoder).requires_grad_(requires_grad=False)

    def encode(self, pictures: Sequence[Tensor], changed: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the feature maps (B, C, H, W), coarse to fine, of B slices.

        Args:
            pictures: the slices as they are shown, (H, W), at most S pixels a side; grey values 0..255.
            changed: weights of the trunk that take the place of its own.
        """
        image = self.images(pictures)
        if not self.newer:
            return (functional_call(self.encoder, dict(changed), (image,)),)
        inside = {f"trunk.{name}": value for name, value in changed.items()}
        return self._maps(functional_call(self.encoder, inside, (image,))["backbone_fpn"])

    def pyramid(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the feature maps (B, C, H, W), coarse to fine, of what the trunk has made of B slices.

        Args:
            stages: (B, H_i, W_i, C_i) coarse to fine; of SAM the last block's, of SAM 2 those of all stages.
        """
        maps = self.necked(stages)
        return self._maps(maps[::-1]) if self.newer else maps

    def _maps(self, pyramid: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return what the mask decoder of a SAM 2 takes, coarse to fine, of a pyramid, fine to coarse."""
        *fine, embedding = pyramid
        return embedding, self.decoder.conv_s1(fine[1]), self.decoder.conv_s0(fine[0])

    @property
    def no_mask(self) -> Tensor:
        """The dense prompt (1, C, 1, 1) that says nothing."""
        none: Tensor = self.prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return none

    def embed(self, points: Tensor, labels: Tensor) -> Tensor:
        """Return the prompts (B, P + 1, C) for points (B, P, 2; pixels of the image) with labels (B, P).

        The labels are those of SAM 2: 1 inside, 0 outside, 2 and 3 a box's corners, -1 nothing. One that says nothing
        is added, as SAM does.
        """
        sparse: Tensor = self.prompts(points=(points, labels), boxes=None, masks=None)[0]
        if not self.newer:  # SAM embeds a box's corners as points, and adds what they are elsewhere
            count = labels.shape[1]
            for corner in (BOX_START, BOX_END):
                kind = self.prompts.point_embeddings[corner].weight
                sparse = sparse + F.pad((labels == corner)[..., None] * kind, (0, 0, 0, sparse.shape[1] - count))
        return sparse

    def embed_mask(self, logits: Tensor) -> Tensor:
        """Return the dense prompt (B, C, H, W) for masks (B, 1, S/4, S/4)."""
        dense: Tensor = self.prompts(points=None, boxes=None, masks=logits)[1]
        return dense

    def decode(self, maps: tuple[Tensor, ...], sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 4, S/4, S/4) and expected IoU (B, 4).

        Args:
            maps: features of B slices, coarse to fine, as the backbone made them.
            sparse: (B, N, C).
            dense: (B, C, H, W), or (B, C, 1, 1) for the same everywhere.
        """
        code = self.prompts.get_dense_pe()
        if self.newer:
            logits, quality, _, _ = self.decoder.predict_masks(
                image_embeddings=self.alone(maps[0]), image_pe=code, sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense.expand_as(maps[0]), repeat_image=False,
                high_res_features=list(reversed(maps[1:])),
            )  # fmt: skip
            return logits, quality
        # SAM's decoder takes one image and many prompts; here each has an image of its own.
        answers = [
            self.decoder.predict_masks(
                image_embeddings=maps[0][one : one + 1], image_pe=code, sparse_prompt_embeddings=sparse[one : one + 1],
                dense_prompt_embeddings=dense.expand_as(maps[0])[one : one + 1],
            )
            for one in range(len(sparse))
        ]  # fmt: skip
        return torch.cat([one[0] for one in answers]), torch.cat([one[1] for one in answers])
