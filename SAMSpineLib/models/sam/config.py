"""The sizes of SAM and SAM 2 that this library knows: numbers only, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamConfig:
    """Shape of one SAM (Kirillov et al. 2023, arXiv 2304.02643).

    The image encoder is a ViT of `depth` blocks with `width` channels and `heads` heads on patches of 16 pixels; it
    attends within windows of `window` patches, except in `global_blocks`. All else works on `channels` channels, which
    must be a multiple of 16, and of 2 * `decoder_heads`.

    Attributes:
        width: channels of the image encoder.
        depth: its blocks.
        heads: attention heads of each.
        global_blocks: those that attend to all of the image.
        image_size: side (pixels, a multiple of 16) of the square that the network sees.
        window: side (patches) of an attention window.
        channels: of the embedding, the prompts and the mask decoder.
        decoder_heads: attention heads of the mask decoder.
        decoder_hidden: hidden channels of the mask decoder.
        score_hidden: hidden channels of the head that predicts a mask's quality.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    image_size: int = 1024
    window: int = 14
    channels: int = 256
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    score_hidden: int = 256


@dataclass(frozen=True)
class Sam2Config:
    """Shape of one SAM 2 (Ravi et al. 2024, arXiv 2408.00714).

    The image encoder is a Hiera whose first stage has `width` channels and `heads` heads; both double with each stage.

    Attributes:
        width: channels of the first stage.
        heads: its attention heads.
        stages: blocks of the four stages.
        global_blocks: blocks that attend to all of the image; never the first of a stage.
        background: side of the position embedding that is stretched over the image.
        windows: side of an attention window in each stage.
        newer: whether it is a SAM 2.1, which knows of objects out of sight and of the order of its memories.
        image_size: side (pixels, a multiple of 32) of the square that the network sees.
        channels: of the embedding, the prompts and the mask decoder, a multiple of 16.
        memory_channels: of what is remembered of a slice; divides `channels`.
        memory_layers: of the attention to memories.
        memory_hidden: hidden channels of each.
        remembers: whether its memory was taught; where it was not, it has none and follows from mask to mask.
    """

    width: int
    heads: int
    stages: tuple[int, int, int, int]
    global_blocks: tuple[int, ...]
    background: int = 7
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    newer: bool = True
    image_size: int = 1024
    channels: int = 256
    memory_channels: int = 64
    memory_layers: int = 4
    memory_hidden: int = 2048
    remembers: bool = True


SAM_CONFIGS = {
    "sam-vit-b": SamConfig(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "sam-vit-l": SamConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "sam-vit-h": SamConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}

SAM2_CONFIGS = {
    "sam2-tiny": Sam2Config(96, 1, (1, 2, 7, 2), (5, 7, 9), newer=False),
    "sam2-small": Sam2Config(96, 1, (1, 2, 11, 2), (7, 10, 13), newer=False),
    "sam2-base-plus": Sam2Config(112, 2, (2, 3, 16, 3), (12, 16, 20), background=14, newer=False),
    "sam2-large": Sam2Config(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8), newer=False),
    "sam2.1-tiny": Sam2Config(96, 1, (1, 2, 7, 2), (5, 7, 9)),
    "sam2.1-small": Sam2Config(96, 1, (1, 2, 11, 2), (7, 10, 13)),
    "sam2.1-base-plus": Sam2Config(112, 2, (2, 3, 16, 3), (12, 16, 20), background=14),
    "sam2.1-large": Sam2Config(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
}

# Ours: SAM 2.1, piece by piece, made small. "smoke" is for tests: the whole story in seconds, and no useful weights.
OWN_CONFIGS = {
    "sam-spine-tiny": Sam2Config(
        32, 1, (1, 2, 6, 1), (4, 6, 8), windows=(8, 4, 16, 8), image_size=512, channels=128,
        memory_layers=2, memory_hidden=512, remembers=False,
    ),
    "sam-spine-smoke": Sam2Config(
        8, 1, (1, 1, 2, 1), (3,), windows=(8, 4, 8, 4), image_size=128, channels=32, memory_channels=16,
        memory_layers=1, memory_hidden=32,
    ),
}  # fmt: skip
