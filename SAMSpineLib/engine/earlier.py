"""An earlier result that a session goes on with: where each label lies in it, and what of it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.engine.painting import inner_slices, meeting
from SAMSpineLib.models.protocols import Probability
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Extent, Grid, slices_of

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Earlier:
    """A label's voxels from before its first prompt: a mask (K, J, I) of an extent of the volume's `grid`.

    Where a network has found them, `quality` is the Dice (0..1) that it expects of them.
    """

    mask: Mask = field(repr=False)
    extent: Extent
    grid: Grid
    quality: float | None = None

    def on(self, patch: Grid) -> Probability:
        """Return the probability (K, J, I) that it gives a network on a patch; 0 where it knows of nothing."""
        found: Probability = sample(self.mask.astype(np.float32), self.grid.crop(self.extent), patch, fill=0.0)
        return found

    def beyond(self, patches: Sequence[Grid], extent: Extent) -> tuple[Mask, Extent] | None:
        """Return what of it lies in `extent` and in no patch, cropped, or None where the two extents do not meet."""
        shared = meeting(self.extent, extent)
        if shared is None:
            return None
        mask, place = self.mask[inner_slices(shared, self.extent)].copy(), self.grid.crop(shared)
        for patch in patches:
            inner = place.extent_of(patch)
            if inner is not None:
                ones = np.ones(patch.shape, np.uint8)
                mask[slices_of(inner)] &= sample(ones, patch, place.crop(inner), fill=0, order=0) == 0
        return mask, shared


def earlier_of(labels: npt.NDArray[np.uint16], value: int, extent: Extent | None, grid: Grid) -> Earlier | None:
    """Return a label's voxels in an extent of a label map (K, J, I), or None without any."""
    if extent is None:
        return None
    mask = labels[slices_of(extent)] == value
    return Earlier(mask, extent, grid) if mask.any() else None


def found_masks(labels: npt.NDArray[np.integer], quality: Mapping[int, float], grid: Grid) -> dict[int, Earlier]:
    """Return what a network has found in a whole volume: the voxels of each value of its label map (K, J, I)."""
    extents = loaded_extents(labels)
    return {
        value: Earlier(labels[slices_of(extent)] == value, extent, grid, quality.get(value))
        for value, extent in extents.items()
    }


def loaded_extents(labels: npt.NDArray[np.integer]) -> dict[int, Extent]:
    """Return the extent of each value of a label map."""
    boxes = enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1)
    return {
        value: (i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
        for value, (k, j, i) in ((value, box) for value, box in boxes if box is not None)
    }
