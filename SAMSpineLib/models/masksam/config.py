"""Shapes of MaskSAM: numbers only, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskSamConfig:
    """Shape of what is learnt for one SAM (Xie et al. 2024, arXiv 2403.14103, section 3 and release).

    Attributes:
        classes: that a mask can have, "no object" apart. Background is none: it is where no class is.
        queries: masks that are made of a stack; more than classes that one stack can show.
        channels: of the SAM's embedding and prompts.
        shrink: how many times narrower than what they change adapters are.
        base: channels of the prompt generator at the resolution of the embedding.
        levels: channels of its finer levels, and how many times finer than the embedding each is; the last one makes
            masks, which a SAM has four times finer.
        token_grid: rows and columns that a level is pooled to for a class token; their product is `channels`.
        code: depth, height and width of the learnt code of places in a stack; it is stretched over stacks of any
            depth and slices of any size.
        image_size: side in pixels of the square that the SAM sees.
        depth: slices that are looked at together when a volume is segmented. No weight depends on it.
        apart: distance (mm) of the slices of a stack.
        lean: whether the prompt generator looks around in each channel by itself and mixes them after that: it has an
            eighth of the weights then.
        anchored: whether each query begins at a height of its own, and learns what its mask is of from where it lies.
    """

    classes: int
    queries: int
    channels: int = 256
    shrink: int = 4
    base: int = 256
    levels: tuple[tuple[int, int], ...] = ((144, 2), (128, 4), (64, 4), (64, 4))
    token_grid: tuple[int, int] = (16, 16)
    code: tuple[int, int, int] = (4, 64, 64)
    image_size: int = 1024
    depth: int = 4
    apart: float = 3.0
    lean: bool = False
    anchored: bool = False


CONFIGS: dict[str, MaskSamConfig] = {
    # Published for ACDC, on SAM's ViT-B: 115.1 million weights, 21.4 of them learnt.
    "masksam-acdc": MaskSamConfig(classes=3, queries=8, apart=10.0),
    # Ours, on sam-spine-tiny: C1 to C7, T1 to T12, L1 to L5 and the sacrum, all of which one sagittal slice can show.
    "masksam-small": MaskSamConfig(
        classes=25, queries=28, channels=128, base=128, levels=((64, 2), (32, 4)), token_grid=(8, 16), code=(4, 8, 8),
        image_size=512, depth=6, lean=True, anchored=True,
    ),
    # For tests: the whole story in seconds, and no weights that are of use.
    "masksam-smoke": MaskSamConfig(
        classes=25, queries=28, channels=128, base=16, levels=((16, 2), (16, 4)), token_grid=(8, 16), code=(2, 4, 4),
        image_size=128, depth=3, apart=6.0, lean=True, anchored=True,
    ),
}  # fmt: skip
