"""A SAM's mask decoder on whole stacks of many queries at once, with adapters through which tokens see depth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from SAMSpineLib.models.masksam.depth_adapters import BESIDE, DepthConvolution, DepthTokens
from SAMSpineLib.models.sam2rad.frozen_sam import FrozenSam


class _LayerDepth(nn.Module):
    """The adapters of one layer: after both attentions of tokens, beside their MLP, and where the image looks back."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.own = DepthTokens(width, inner)
        self.image = DepthTokens(width, inner)
        self.channels = DepthTokens(width, inner)
        self.back = DepthConvolution(width, inner)

    def forward(self, layer: Any, tokens: Tensor, keys: Tensor, codes: tuple[Tensor, Tensor], depth: int) -> Any:
        """Run a layer of the SAM's transformer; return tokens (M, P, C) and keys (M, H, W, C)."""
        said, place = codes
        size = keys.shape[1:3]
        asked = tokens if layer.skip_first_layer_pe else tokens + said
        change = layer.self_attn(q=asked, k=asked, v=tokens)
        change = change + self.own(change, depth)
        tokens = layer.norm1(change if layer.skip_first_layer_pe else tokens + change)
        flat = keys.flatten(1, 2)
        placed = flat + place
        change = layer.cross_attn_token_to_image(q=tokens + said, k=placed, v=flat)
        tokens = layer.norm2(tokens + change + self.image(change, depth))
        tokens = layer.norm3(tokens + layer.mlp(tokens) + BESIDE * self.channels(tokens, depth))
        back = layer.cross_attn_image_to_token(q=placed, k=tokens + said, v=tokens).unflatten(1, size)
        return tokens, layer.norm4(keys + back + self.back(back, depth))


class DecoderDepth(nn.Module):
    """Adapters for a SAM's two-way transformer; at first they change nothing.

    Source: Xie et al., arXiv 2403.14103, section 3.3 and release. The modules of the SAM are those of its
    `TwoWayTransformer`, in both packages by the same names.
    """

    def __init__(self, width: int, inner: int, layers: int) -> None:
        """Fit a transformer of so many layers."""
        super().__init__()
        self.layers = nn.ModuleList(_LayerDepth(width, inner) for _ in range(layers))
        self.last = DepthTokens(width, inner)

    def forward(
        self, sam: FrozenSam, maps: tuple[Tensor, ...], sparse: Tensor, dense: Tensor, depth: int
    ) -> tuple[Tensor, Tensor]:
        """Return the masks' logits (M, S/4, S/4), and what became of the last of the prompts (M, C).

        Args:
            sam: whose decoder it is.
            maps: features of M slices, coarse to fine; `depth` of them after each other are a stack.
            sparse: (M, P, C).
            dense: (M, C, H, W).
            depth: of a stack.
        """
        decoder = sam.decoder
        first = [decoder.obj_score_token.weight] if sam.newer else []
        own = torch.cat([*first, decoder.iou_token.weight, decoder.mask_tokens.weight])
        said = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        place = sam.prompts.get_dense_pe().flatten(2).transpose(1, 2)
        transformer = decoder.transformer
        tokens, keys = said, (sam.alone(maps[0]) + dense).permute(0, 2, 3, 1)
        for layer, adapters in zip(transformer.layers, self.layers, strict=True):
            tokens, keys = adapters(layer, tokens, keys, (said, place), depth)
        flat = keys.flatten(1, 2)
        change = transformer.final_attn_token_to_image(q=tokens + said, k=flat + place, v=flat)
        tokens = transformer.norm_final_attn(tokens + change + self.last(change, depth))
        speaks = decoder.output_hypernetworks_mlps[0](tokens[:, len(first) + 1])
        fine = _upscaled(decoder, keys.permute(0, 3, 1, 2), maps[1:], newer=sam.newer)
        return torch.einsum("mc,mchw->mhw", speaks, fine), tokens[:, -1]


def _upscaled(decoder: Any, keys: Tensor, finer: tuple[Tensor, ...], *, newer: bool) -> Tensor:
    """Return the slices (M, C/8, S/4, S/4) that a mask is read from; SAM 2 looks at finer maps on its way."""
    if not newer:
        plain: Tensor = decoder.output_upscaling(keys)
        return plain
    first, norm, act, second, last = decoder.output_upscaling
    eighth, fourth = finer
    upscaled: Tensor = last(second(act(norm(first(keys) + eighth))) + fourth)
    return upscaled
