"""What SAM sees of a volume's intensities: grey, 0..255, the same in all three channels.

SAM was trained on photographs of 8 bits, MedSAM (Ma et al. 2024, Nature Communications 15:654) on medical images that
were brought to the same range by a window (CT) or by percentiles (anything else). The rule here:

- CT: a window of HU, bone's by default.
- Ultrasound, and whatever is stored in 8 bits (pictures): all that there is, black to white, as it is seen on a screen.
- Anything else, such as MR: the 0.5th to the 99.5th percentile of the whole volume.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from SAMSpineLib.models.intensity import intensity_window, normalise
from SAMSpineLib.volume import Volume

BONE_HU = (-200.0, 1000.0)


def grey_window(volume: Volume, hounsfield: tuple[float, float] = BONE_HU) -> tuple[float, float]:
    """Return the intensities that are shown black and white."""
    if volume.modality == "CT" or (volume.modality != "US" and volume.array.dtype != np.uint8):
        return intensity_window(volume, hounsfield)
    if volume.array.dtype == np.uint8:
        return 0.0, 255.0
    finite = volume.array[np.isfinite(volume.array)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return low, high if high > low else low + 1.0


def grey(image: npt.NDArray[np.floating], window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Return intensities as grey values 0..255, not rounded."""
    return (normalise(image, window) + np.float32(1.0)) * np.float32(127.5)
