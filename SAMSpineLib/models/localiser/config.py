"""The sizes of the localiser: numbers only, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LocaliserConfig:
    """Shape of one localiser and of the windows it looks through.

    `dims` and `depths` are the encoder's channels and residual blocks per scale, finest first. `window` is the number
    of voxels (K, J, I) it sees at once, the same in training and in use, because instance normalisation depends on it.
    `hounsfield` is the range of HU that it is shown.
    """

    dims: tuple[int, ...]
    depths: tuple[int, ...]
    window: tuple[int, int, int]
    spacing: float = 3.0
    hounsfield: tuple[float, float] = (-200.0, 1000.0)


SMALL = LocaliserConfig(dims=(8, 32, 64, 96, 128), depths=(0, 1, 1, 1, 2), window=(96, 64, 64))

# Too small to be of use: it lets tests run the whole story in seconds.
TINY = LocaliserConfig(dims=(4, 8, 8), depths=(0, 0, 1), window=(32, 24, 24), spacing=6.0)

CONFIGS = {"localiser-small": SMALL, "localiser-tiny": TINY}
