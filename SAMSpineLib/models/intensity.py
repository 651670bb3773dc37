"""What a network sees of a volume's intensities, by modality."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from SAMSpineLib.volume import Volume

MAX_SAMPLES = 1_000_000


def intensity_window(volume: Volume, hounsfield: tuple[float, float]) -> tuple[float, float]:
    """Return the range of intensities that a network is shown.

    CT has units of its own: the range is `hounsfield`. For anything else it is the 0.5th to 99.5th percentile of the
    whole volume (of at most a million voxels spread over it), never of a slice, so that a tissue looks the same
    everywhere.
    """
    if volume.modality == "CT":
        return hounsfield
    stride = max(1, int(np.ceil((volume.array.size / MAX_SAMPLES) ** (1 / 3))))
    low, high = np.percentile(volume.array[::stride, ::stride, ::stride].astype(np.float64), [0.5, 99.5])
    return (float(low), float(high) if high > low else float(low) + 1.0)


def normalise(image: npt.NDArray[np.floating], window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Clip to a window and scale to -1..1, in float32 whatever came (an int16 difference would overflow)."""
    low, high = window
    return (np.clip(image.astype(np.float32), low, high) - low) * np.float32(2.0 / (high - low)) - np.float32(1.0)
