"""What an engine last said of each label, kept as crops, so that only what it changes reaches a segment."""

from __future__ import annotations

import numpy as np

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
        union = _union(place, extent)
        if union != place:
            grown = np.zeros(shape_of(union), bool)
            grown[_common(union, place)] = old
            old = grown
        old[_common(union, extent)] = mask
        self._crops[value] = (union, old)

    def reach(self, value: int, also: Extent | None) -> Extent | None:
        """Return an extent that holds all that was put for a label, and another one; None if there is neither."""
        if value not in self._crops:
            return also
        place, _ = self._crops[value]
        return place if also is None else _union(place, also)

    def clear(self) -> None:
        """Forget everything."""
        self._crops.clear()


def _union(one: Extent, other: Extent) -> Extent:
    low, high = np.minimum(one[::2], other[::2]).tolist(), np.maximum(one[1::2], other[1::2]).tolist()
    return (low[0], high[0], low[1], high[1], low[2], high[2])


def _common(frame: Extent, other: Extent) -> tuple[slice, slice, slice]:
    """Return the slices (K, J, I) of a crop at `frame` that it has in common with `other`."""
    parts = []
    for axis in (2, 1, 0):
        low = max(frame[2 * axis], other[2 * axis])
        high = max(min(frame[2 * axis + 1], other[2 * axis + 1]) + 1, low)
        parts.append(slice(low - frame[2 * axis], high - frame[2 * axis]))
    return (parts[0], parts[1], parts[2])
