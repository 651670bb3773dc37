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
    """Candidates for B slices: logits (B, M, S/4, S/4), expected IoU (B, M) and the logit that there is any object."""

    logits: Tensor = field(repr=False)
    quality: Tensor
    presence: Tensor


def encode_slices(network: SAM2Base, images: Tensor) -> SliceFeatures:
    """Encode images (B, 3, S, S) that stand alone: no memory of other slices."""
    pyramid = network.forward_image(images)["backbone_fpn"]
    embedding = pyramid[-1] + network.no_mem_embed.view(1, -1, 1, 1)
    return SliceFeatures(embedding, (pyramid[0], pyramid[1]))


def decode_slices(
    network: SAM2Base,
    features: SliceFeatures,
    points: Tensor,
    labels: Tensor,
    *,
    previous: Tensor | None = None,
    candidates: bool,
) -> SliceAnswers:
    """Answer prompts.

    Args:
        network: which encoded the features.
        features: of B slices.
        points: (B, P, 2), x and y in pixels of the network's image.
        labels: (B, P): 1 inside, 0 outside, 2 and 3 the corners of a box, -1 none.
        previous: (B, 1, S/4, S/4) logits of an earlier mask.
        candidates: three masks (for one click, which may mean many things) instead of one.
    """
    sparse, dense = network.sam_prompt_encoder(points=(points, labels), boxes=None, masks=previous)
    logits, quality, _, presence = network.sam_mask_decoder(
        image_embeddings=features.embedding,
        image_pe=network.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=candidates,
        repeat_image=False,
        high_res_features=list(features.fine),
    )
    return SliceAnswers(logits, quality, presence)


def as_logits(masks: Tensor, side: int) -> Tensor:
    """Return masks (B, H, W; 0..1) as logits (B, 1, side, side) for the prompt encoder."""
    sized = torch.nn.functional.interpolate(masks[:, None].float(), size=(side, side), mode="area")
    return (sized * 2 - 1) * CERTAIN
