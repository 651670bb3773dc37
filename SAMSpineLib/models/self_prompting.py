"""What holds for every network that finds by itself what it was taught."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.errors import PromptError
from SAMSpineLib.models.protocols import Promptable, TaughtPromptable


def taught_of(model: Promptable) -> TaughtPromptable:
    """Return a model as one that was taught something.

    Raises:
        PromptError: if it was not.
    """
    found = model.slicewise
    if not isinstance(found, TaughtPromptable):
        msg = f"'{model.name}' was not taught any structure: choose a taught model of `samspine models list`"
        raise PromptError(msg)
    return found


def there(presence: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Return in which slices (count,) a structure is, from its presence (count,; 0..1) in each.

    What counts is the median of three slices: one that is unsure between two that are sure is kept, and one that is
    sure between two that are not is left out.
    """
    if len(presence) < 3:
        return np.asarray(presence > 0.5)
    return np.asarray(ndimage.median_filter(presence, size=3, mode="nearest") > 0.5)
