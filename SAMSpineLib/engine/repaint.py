"""What of the label map a label's new state paints anew, and what it marks there."""

from __future__ import annotations

from dataclasses import dataclass, field

from SAMSpineLib.engine.painting import Mask
from SAMSpineLib.volume import Extent


@dataclass(frozen=True)
class Repaint:
    """A part of the label map that is painted anew.

    Attributes:
        extent: the part (i0, i1, j0, j1, k0, k1); None where nothing can have changed.
        painted: where in the volume all of the label lies now; None where it marks nothing.
        marked: what it marks within the part: mask (K, J, I) and its extent; None for nothing.
    """

    extent: Extent | None
    painted: Extent | None
    marked: tuple[Mask, Extent] | None = field(repr=False)
