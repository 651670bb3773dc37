"""SAM 2 on a batch of single slices, with gradients: what training needs and the package's predictors do not offer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

# Logits of a mask that is given as 0 or 1.
CERTAIN = 10.0


@dataclass(frozen=True, eq=False)
class SliceFeatures:
    """Features of B slices: `embedding` (B, C, S/16, S/16), and those of a fourth and an eighth of the side S."""

    embedding: Tensor = field(repr=False)
    fine: tuple[Tensor, Tensor] = field(repr=False)


@dataclass(frozen=True, eq=False)
class SliceAnswers:
    """The four masks of B slices: logits (B, 4, S/4, S/4), expected IoU (B, 4), the logit (B, 1) of any object at all.

    The first mask is for prompts that mean one thing, the others are for those that may mean several.
    """

    logits: Tensor = field(repr=False)
    quality: Tensor
    presence: Tensor


def encode_slices(network: SAM2Base, images: Tensor) -> SliceFeatures:
    """Encode images (B, 3, S, S) that stand alone: no memory of other slices."""
    pyramid = network.forward_image(images)["backbone_fpn"]
    embedding = pyramid[-1] + network.no_mem_embed.view(1, -1, 1, 1)
    return SliceFeatures(embedding, (pyramid[0], pyramid[1]))


def decode_slices(
    network: SAM2Base, features: SliceFeatures, points: Tensor, labels: Tensor, masks: Tensor, given: Tensor
) -> SliceAnswers:
    """Answer prompts, each slice its own.

    Args:
        network: which encoded the features.
        features: of B slices.
        points: (B, P, 2), x and y in pixels of the network's image.
        labels: (B, P): 1 inside, 0 outside, 2 and 3 the corners of a box, -1 none.
        masks: (B, 1, S/4, S/4) logits of earlier masks.
        given: (B,) whether there is an earlier mask.
    """
    encoder = network.sam_prompt_encoder
    sparse, dense = encoder(points=(points, labels), boxes=None, masks=masks)
    none = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).to(dense.dtype)
    logits, quality, _, presence = network.sam_mask_decoder.predict_masks(
        image_embeddings=features.embedding,
        image_pe=encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=torch.where(given.view(-1, 1, 1, 1), dense, none),
        repeat_image=False,
        high_res_features=list(features.fine),
    )
    return SliceAnswers(logits, quality, presence)


def as_logits(masks: Tensor, side: int) -> Tensor:
    """Return masks (B, H, W; 0..1) as logits (B, 1, side, side) for the prompt encoder."""
    sized = torch.nn.functional.interpolate(masks[:, None].float(), size=(side, side), mode="area")
    return (sized * 2 - 1) * CERTAIN
