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
    everywhere. Voxels that are not finite have no say.
    """
    if volume.modality == "CT":
        return hounsfield
    stride = max(1, int(np.ceil((volume.array.size / MAX_SAMPLES) ** (1 / 3))))
    values = volume.array[::stride, ::stride, ::stride].astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 0.0)
    return (float(low), float(high) if high > low else float(low) + 1.0)


def normalise(image: npt.NDArray[np.floating], window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Clip to a window and scale to -1..1, in float32 whatever came (an int16 difference would overflow).

    NaN counts as the window's low end: files are mended when they are read, a viewer's volume is not, and one NaN
    would spread over all that a network says.
    """
    low, high = window
    finite = np.nan_to_num(image.astype(np.float32), nan=low, posinf=high, neginf=low)
    return (np.clip(finite, low, high) - low) * np.float32(2.0 / (high - low)) - np.float32(1.0)
