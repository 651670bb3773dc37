"""Shapes of Sam2Rad: numbers only, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sam2RadConfig:
    """Shape of what is learnt for one SAM (Wahd et al. 2024, arXiv 2409.06821, section 3).

    Attributes:
        channels: of the SAM's embedding and prompts.
        levels: channels of the feature maps that are looked at, from coarse to fine; the first one is the embedding.
        finest: how many times finer than the embedding's the grid of the last level is.
        heads: attention heads.
        hidden: hidden channels of each block.
        tokens: learned queries of a structure: two for its box, the others speak to the mask decoder as they are.
        mask_channels: hidden channels of the head that draws a first mask.
        rank: of what is added to queries and values of the mask decoder's attention (Hu et al., LoRA, ICLR 2022);
            0 leaves the decoder as it is.
        encoder_rank: the same for the linear layers of the image encoder; 0 leaves it as it is, and its features serve
            every model that was taught on it.
    """

    channels: int = 256
    levels: tuple[int, ...] = (256, 64, 32)
    finest: int = 4
    heads: int = 8
    hidden: int = 2048
    tokens: int = 10
    mask_channels: int = 64
    rank: int = 0
    encoder_rank: int = 0


# Published: on the pyramid of a SAM 2, and on the embedding alone, which any SAM has.
PYRAMID = Sam2RadConfig()
LINEAR = Sam2RadConfig(levels=(256,), finest=1)
