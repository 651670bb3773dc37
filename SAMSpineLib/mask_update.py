"""What one step of a session changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.volume import Extent, Grid


@dataclass(frozen=True, eq=False)
class MaskUpdate:
    """One label's mask after a step, cropped to what can have changed.

    `mask` is uint8 (K, J, I), 1 inside the label; `extent` its place in the volume, inclusive (i0, i1, j0, j1, k0, k1).
    Outside the extent the label is as it was. An empty `mask` (no voxel at all) says that nothing changed.
    `overwritten` names the other labels whose voxels the step changed, too: those that lost voxels to this one, or got
    them back by undo; a face re-reads them from the session's result within the extent. `visited` are
    the patches the model looked at, in order, so that a face can show them.
    """

    label: int
    mask: npt.NDArray[np.uint8] = field(repr=False)
    extent: Extent
    overwritten: tuple[int, ...] = ()
    visited: tuple[Grid, ...] = field(default=(), repr=False)
    message: str = ""

    @classmethod
    def nothing(cls, label: int, message: str = "") -> MaskUpdate:
        """Return an update that changes nothing."""
        return cls(label, np.zeros((0, 0, 0), np.uint8), (0, -1, 0, -1, 0, -1), message=message)

    @property
    def is_empty(self) -> bool:
        """Tell whether the step changed nothing."""
        return self.mask.size == 0
