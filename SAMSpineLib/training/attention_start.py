"""Attention that begins near its prompts: what lets a SAM be taught from nothing on few slices."""

from __future__ import annotations

from typing import Any

import torch

# Queries and keys are both made larger by this, so that places a few cells apart are told from one another.
SHARPNESS = 2.5


def attend_nearby(transformer: Any) -> None:
    """Let the cross attention of SAM's two-way transformer begin as a look at places near one another.

    Queries and keys share the same position code (Kirillov et al. 2023, appendix A, "Lightweight mask decoder"). With
    one projection for both, their product is largest where the places agree; with two projections at random it says
    nothing, and a network that is taught from nothing for a few thousand steps does not find it out.

    Args:
        transformer: of SAM or SAM 2; changed in place.
    """
    across = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        across += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in across:
            attention.q_proj.weight.mul_(SHARPNESS)
            attention.k_proj.load_state_dict(attention.q_proj.state_dict())
