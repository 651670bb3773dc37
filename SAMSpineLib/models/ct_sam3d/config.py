"""The sizes of CT-SAM3D that this library knows: numbers only, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CTSAM3DConfig:
    """Shape of one CT-SAM3D network and of the patches it looks at.

    `encoder` names the kind ("restv2" as published, "residual" for a convolutional one that is quick on a CPU),
    `dims` and `depths` its stages; `skips` are the channels handed to the decoder per stage, `prompt_hidden` the width
    of the layer that turns prompts into modulation. `window` is the range of HU that the network sees.
    """

    encoder: str
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    skips: tuple[int, ...]
    prompt_hidden: tuple[int, ...]
    head: int
    cross_patch: tuple[int, ...]
    patch: int = 64
    spacing: float = 1.5
    window: tuple[float, float] = (-200.0, 1000.0)
    click_sigma_mm: float = 3.0


# Sizes as published (arXiv 2403.15063; ResTv2-tiny in 3D, 36.94 M + 32.28 M + 4.81 M parameters). The window is ours:
# the published -125..225 HU saturates all of bone.
PAPER = CTSAM3DConfig(
    encoder="restv2",
    dims=(96, 192, 384, 768),
    depths=(1, 2, 6, 2),
    skips=(128, 128, 128, 256),
    prompt_hidden=(128, 128, 128, 128, 128),
    head=64,
    cross_patch=(16, 32, 64, 128, 256),
)

# The bundled size: the same decoder idea on a narrow convolutional encoder, 2 mm voxels, the same 96 mm patch.
SMALL = CTSAM3DConfig(
    encoder="residual",
    dims=(16, 24, 48, 96, 128),
    depths=(1, 1, 1, 1, 1),
    skips=(16, 16, 32, 64, 128),
    prompt_hidden=(8, 16, 32, 32),
    head=16,
    cross_patch=(8, 16, 32, 64),
    patch=48,
    spacing=2.0,
)

# Too small to be of use: it lets tests run the whole story in seconds.
TINY = CTSAM3DConfig(
    encoder="residual",
    dims=(4, 8, 8),
    depths=(0, 0, 1),
    skips=(4, 8, 8),
    prompt_hidden=(4, 4),
    head=4,
    cross_patch=(4, 8),
    patch=24,
    spacing=4.0,
)

CONFIGS = {"ct-sam3d-paper": PAPER, "ct-sam3d-small": SMALL, "ct-sam3d-tiny": TINY}
