"""The decoder: one token for each class, and the prompt beside the image at every step up to full resolution.

Source: Fan et al., IEEE TMI 2025, release.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from sam2.modeling.sam2_utils import MLP, LayerNorm2d
from torch import Tensor, nn

from SAMSpineLib.models.ma_sam.config import MaSamConfig
from SAMSpineLib.models.ma_sam.prompt_encoder import DoubleConvolution

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

SPEAKS = 3  # layers of what turns a class token into a filter


class ClassDecoder(nn.Module):
    """Let class tokens, the prompt and the image look at each other, and read one mask for each class.

    It begins with the SAM's own two-way transformer, which then learns, unless the shape is `lean`. A SAM 2 has finer
    maps of the image; they are seen where the decoder reaches their resolution, which the release, made for SAM, has
    none of.
    """

    def __init__(self, config: MaSamConfig, network: Sam | SAM2Base) -> None:
        """Take a copy of a SAM's transformer, which stays as it is itself; all else begins at random."""
        super().__init__()
        source: Any = network
        newer = hasattr(source, "sam_mask_decoder")
        decoder = source.sam_mask_decoder if newer else source.mask_decoder
        prompts = source.sam_prompt_encoder if newer else source.prompt_encoder
        self.transformer: Any = copy.deepcopy(decoder.transformer).requires_grad_(not config.lean)
        self.places: Any = copy.deepcopy(prompts.pe_layer)
        finer = (decoder.conv_s1, decoder.conv_s0) if newer else ()
        self.finer = nn.ModuleList(copy.deepcopy(one).requires_grad_(requires_grad=True) for one in finer)
        self.classes = nn.Embedding(config.classes, config.channels)
        shown = [one.out_channels for one in finer]
        steps = (config.channels, *reversed(config.widths))
        self.steps = nn.ModuleList(
            _Step(into, out, sum(shown[place : place + 1]))
            for place, (into, out) in enumerate(zip(steps[:-1], steps[1:], strict=True))
        )
        speakers = 1 if config.lean else config.classes
        speak = (MLP(config.channels, config.channels, config.widths[0], SPEAKS) for _ in range(speakers))
        self.speaks = nn.ModuleList(speak)

    def forward(self, maps: Sequence[Tensor], prompt: Tensor, finer: Sequence[Tensor]) -> Tensor:
        """Return the logits (B, classes, S, S) of each class.

        Args:
            maps: of the image, coarse to fine; the first one is the embedding (B, C, S/16, S/16).
            prompt: (B, C, S/16, S/16).
            finer: the prompt of finer resolutions, coarse to fine.
        """
        embedding, *fine = maps
        place = self.places(embedding.shape[-2:])[None]
        kinds = self.classes.weight.expand(len(embedding), -1, -1)
        said = torch.cat([kinds, prompt.flatten(2).transpose(1, 2)], dim=1)
        tokens, keys = self.transformer(embedding, place.expand_as(embedding), said)
        x = keys.transpose(1, 2).reshape(embedding.shape)
        shown = [lift(one) for lift, one in zip(self.finer, fine, strict=True)]
        for place_of, (step, skip) in enumerate(zip(self.steps, finer, strict=True)):
            x = step(x, [skip, *shown[place_of : place_of + 1]])
        count = len(self.speaks)
        filters = torch.stack([self.speaks[kind % count](tokens[:, kind]) for kind in range(kinds.shape[1])], dim=1)
        return torch.einsum("bkc,bchw->bkhw", filters, x)


class _Step(nn.Module):
    """Twice as fine, then beside the prompt, and the image where it is shown."""

    def __init__(self, into: int, out: int, shown: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.ConvTranspose2d(into, into, 2, stride=2), LayerNorm2d(into), nn.GELU())
        self.mix = DoubleConvolution(into + out + shown, out)

    def forward(self, below: Tensor, beside: Sequence[Tensor]) -> Tensor:
        mixed: Tensor = self.mix(torch.cat([self.up(below), *beside], dim=1))
        return mixed
