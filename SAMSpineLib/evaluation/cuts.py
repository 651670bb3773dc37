"""A volume's own slices along one of its axes, named as radiologists name directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import GeometryError
from SAMSpineLib.prompts import Ras
from SAMSpineLib.stack import stack_along
from SAMSpineLib.volume import Extent, Grid

Direction = Literal["axial", "sagittal", "coronal"]
# In the order of the axes R, A, S that their normals are nearest to.
DIRECTIONS: tuple[Direction, ...] = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, eq=False)
class Cut:
    """Slices of a volume.

    Attributes:
        name: axial, sagittal or coronal, whichever the slices are nearest to.
        axis: array axis (K, J, I) that counts them.
        normal: RAS, of length 1.
        grid: the volume's.
    """

    name: Direction
    axis: int
    normal: Ras
    grid: Grid = field(repr=False)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.grid.shape[self.axis]

    def extent(self, index: int) -> Extent:
        """Return a slice's voxels (i0, i1, j0, j1, k0, k1), inclusive."""
        k, j, i = self.grid.shape
        ends = [0, i - 1, 0, j - 1, 0, k - 1]
        place = 2 * (2 - self.axis)
        ends[place] = ends[place + 1] = index
        return (ends[0], ends[1], ends[2], ends[3], ends[4], ends[5])

    def areas(self, mask: npt.NDArray[Any]) -> npt.NDArray[np.int_]:
        """Return the marked voxels of each slice (count,) of a mask (K, J, I)."""
        others = tuple(axis for axis in range(3) if axis != self.axis)
        return np.asarray(np.count_nonzero(mask, axis=others), np.int_)


def cuts_of(grid: Grid, direction: Direction | Literal["all"] | None = None) -> tuple[Cut, ...]:
    """Return a volume's slices in the directions asked for.

    Args:
        grid: the volume's, of any orientation: a direction stands for the volume's own axis that is nearest to it.
        direction: one, or all in which a slice is more than one voxel wide; None for the slices that were acquired.

    Raises:
        GeometryError: if slices of the direction are one voxel wide, as in a single image.
    """
    if direction is None:
        step = grid.ras_to_ijk[:3, :3] @ stack_along(grid).step
        return (_cut(grid, 2 - int(np.abs(step).argmax())),)
    every = [_cut(grid, axis) for axis in range(3)]
    wide = [cut for cut in every if _width(cut) > 1]
    if direction == "all":
        return tuple(cut for name in ("axial", "sagittal", "coronal") for cut in wide if cut.name == name)
    found = [cut for cut in wide if cut.name == direction]
    if not found:
        msg = f"Its {direction} slices are one voxel wide; choose {_names(wide)}"
        raise GeometryError(msg)
    return (found[0],)


def _cut(grid: Grid, axis: int) -> Cut:
    """Return the slices along an array axis; directions are given away so that each axis has one of its own."""
    normals = grid.ras_to_ijk[:3, :3] / np.linalg.norm(grid.ras_to_ijk[:3, :3], axis=1, keepdims=True)
    orders = [(a, b, c) for a in range(3) for b in range(3) for c in range(3) if {a, b, c} == {0, 1, 2}]
    best = max(orders, key=lambda order: sum(abs(float(normals[row, name])) for row, name in enumerate(order)))
    row = 2 - axis
    x, y, z = normals[row].tolist()
    return Cut(DIRECTIONS[best[row]], axis, (x, y, z), grid)


def _width(cut: Cut) -> int:
    """Return the shorter side of a slice in voxels."""
    return min(size for axis, size in enumerate(cut.grid.shape) if axis != cut.axis)


def _names(cuts: Sequence[Cut]) -> str:
    return " or ".join(cut.name for cut in cuts) or "another image"
