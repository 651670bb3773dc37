"""What an engine last said of each label, kept as crops, so that only what it changes reaches a segment."""

from __future__ import annotations

import numpy as np

from SAMSpineLib.engine.painting import union
from SAMSpineLib.mrml.layer import Mask, shape_of
from SAMSpineLib.volume import Extent


class KnownMasks:
    """One mask per label value, in a crop that grows with what is put into it. False where nothing was put."""

    def __init__(self) -> None:
        """Know nothing."""
        self._crops: dict[int, tuple[Extent, Mask]] = {}

    def get(self, value: int, extent: Extent) -> Mask:
        """Return a label's mask (K, J, I) in an extent."""
        result = np.zeros(shape_of(extent), bool)
        if value in self._crops:
            place, mask = self._crops[value]
            here, there = _common(place, extent), _common(extent, place)
            result[there] = mask[here]
        return result

    def put(self, value: int, extent: Extent, mask: Mask) -> None:
        """Replace a label's mask in an extent."""
        if value not in self._crops:
            self._crops[value] = (extent, np.array(mask, bool))
            return
        place, old = self._crops[value]
        whole = union(place, extent) or extent
        if whole != place:
            grown = np.zeros(shape_of(whole), bool)
            grown[_common(whole, place)] = old
            old = grown
        old[_common(whole, extent)] = mask
        self._crops[value] = (whole, old)

    def reach(self, value: int, also: Extent | None) -> Extent | None:
        """Return an extent that holds all that was put for a label, and another one; None if there is neither."""
        return union(self._crops[value][0] if value in self._crops else None, also)

    def clear(self) -> None:
        """Forget everything."""
        self._crops.clear()


def _common(frame: Extent, other: Extent) -> tuple[slice, slice, slice]:
    """Return the slices (K, J, I) of a crop at `frame` that it has in common with `other`."""
    parts = []
    for axis in (2, 1, 0):
        low = max(frame[2 * axis], other[2 * axis])
        high = max(min(frame[2 * axis + 1], other[2 * axis + 1]) + 1, low)
        parts.append(slice(low - frame[2 * axis], high - frame[2 * axis]))
    return (parts[0], parts[1], parts[2])
