"""The grid on which solids compete: each voxel belongs to the solid whose surface it lies deepest under."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from SAMSpineLib.training.synthetic.primitives import Array, Points
from SAMSpineLib.training.synthetic.spine_curve import Pose
from SAMSpineLib.training.synthetic.vertebra_shape import Box
from SAMSpineLib.volume import Grid

FAR = np.float32(50.0)
Region = tuple[slice, slice, slice]


class Canvas:
    """Signed distances of all bones on one grid, with the nearest and the second nearest kept per voxel.

    Attributes:
        grid: The lattice; its world is the patient (RAS mm).
        warp: Displacement (3, K, J, I) in mm that bends all shapes a little, or None.
        nearest: Distance (K, J, I) to the nearest solid.
        second: Distance to the nearest solid but one.
        owner: Number (uint8) of the nearest solid, 0 where none is near.
    """

    def __init__(self, grid: Grid, warp: Array | None = None) -> None:
        """Start with an empty grid."""
        self.grid = grid
        self.warp = warp
        self.nearest: Array = np.full(grid.shape, FAR, dtype=np.float32)
        self.second: Array = np.full(grid.shape, FAR, dtype=np.float32)
        self.owner: npt.NDArray[np.uint8] = np.zeros(grid.shape, dtype=np.uint8)

    def region(self, pose: Pose, box: Box) -> Region | None:
        """Return the voxels that a local box may touch, or None outside the grid."""
        corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
        local = np.array(box[0]) + corners * (np.array(box[1]) - np.array(box[0]))
        ijk = self.grid.to_ijk(pose.to_patient(local))
        low = np.maximum(np.floor(ijk.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(ijk.max(axis=0)).astype(int) + 1, np.array(self.grid.shape[::-1]))
        if (low >= high).any():
            return None
        return (slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0]))

    def points(self, pose: Pose, region: Region) -> Points:
        """Return the local coordinates (mm) of a region's voxels in a solid's frame, three arrays (k, j, i)."""
        matrix = pose.axes.T @ self.grid.ijk_to_ras[:3, :3]
        shift = pose.axes.T @ (self.grid.ijk_to_ras[:3, 3] - pose.centre)
        k, j, i = np.ogrid[region]
        axes = []
        for row in range(3):
            m = matrix[row].astype(np.float32)
            place = (i * m[0] + j * m[1]).astype(np.float32) + (k * m[2] + np.float32(shift[row])).astype(np.float32)
            if self.warp is not None:
                w = pose.axes[:, row].astype(np.float32)
                for axis in range(3):
                    place = place + self.warp[axis][region] * w[axis]
            axes.append(place.astype(np.float32))
        return (axes[0], axes[1], axes[2])

    def add(self, number: int, pose: Pose, box: Box, distance: Callable[[Points], Array]) -> Region | None:
        """Let a solid compete for the voxels in its box; return the region looked at."""
        region = self.region(pose, box)
        if region is None:
            return None
        d = distance(self.points(pose, region))
        first, other, owner = self.nearest[region], self.second[region], self.owner[region]
        wins = d < first
        same = owner == number
        np.copyto(other, np.where(wins & ~same, first, np.where(~wins & ~same, np.minimum(other, d), other)))
        np.copyto(first, np.minimum(first, d))
        owner[wins & (d < 8.0)] = number
        return region

    def separated(self, gap: Array | float) -> Array:
        """Return the distance to the nearest solid once solids keep a `gap` (mm) where they would touch."""
        halfway = (self.nearest - self.second + gap) * np.float32(0.5)
        return np.asarray(np.maximum(self.nearest, halfway), dtype=np.float32)
