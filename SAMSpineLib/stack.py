"""Parallel slices through a volume, in any direction, as a screen shows them: head and front of the patient up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.prompts import Ras
from SAMSpineLib.volume import Grid, Matrix

Vector = npt.NDArray[np.float64]
# A slice whose normal is within this of that of the volume's own slices (cosine; 2 degrees) is one of them.
ALIGNED = 0.9994
# What points to the right and what points down on a screen, by the axis (R, A, S) that the normal is nearest to.
RIGHT = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
DOWN = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices through all of a volume.

    Attributes:
        count: number of slices.
        middle: (3,) RAS mm, the middle of the first slice.
        right: (3,) mm, from a slice's left side to its right one.
        down: (3,) mm, from its upper side to its lower one.
        step: (3,) mm, from a slice to the next.
    """

    count: int
    middle: Vector = field(repr=False)
    right: Vector = field(repr=False)
    down: Vector = field(repr=False)
    step: Vector = field(repr=False)

    @property
    def size(self) -> tuple[float, float]:
        """Height and width of a slice (mm)."""
        return float(np.linalg.norm(self.down)), float(np.linalg.norm(self.right))

    def index_at(self, ras: npt.ArrayLike) -> int:
        """Return the number of the slice that a place (RAS mm) lies in or is nearest to."""
        return int(self.indices_at(np.asarray(ras, np.float64)[None])[0])

    def indices_at(self, ras: Vector) -> npt.NDArray[np.int_]:
        """Return the numbers (N,) of the slices that places (N, 3) in RAS mm lie in or are nearest to."""
        axes = np.stack([self.right, self.down, self.step], axis=1)
        along = np.linalg.solve(axes, (ras - self.middle).T)[2]
        return np.asarray(np.clip(np.floor(along + 0.5), 0, self.count - 1), np.int_)

    def grid(self, index: int, shape: tuple[int, int]) -> Grid:
        """Return a slice as a grid (1, H, W): rows go down, columns to the right, its edges are the volume's."""
        height, width = shape
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = self.right / width, self.down / height, self.step
        corner = self.middle + index * self.step - self.right / 2 - self.down / 2
        matrix[:3, 3] = corner + (matrix[:3, 0] + matrix[:3, 1]) / 2
        return Grid((1, height, width), matrix)

    def block(self, first: int, count: int, shape: tuple[int, int]) -> Grid:
        """Return some slices after each other, from number `first` on, as one grid (count, H, W)."""
        return Grid((count, *shape), self.grid(first, shape).ijk_to_ras)

    def spaced(self, apart: float) -> Stack:
        """Return slices of the same size and place that are about `apart` mm from each other.

        There are none between those that a stack has: where those are further apart, they stay as they are.
        """
        step = float(np.linalg.norm(self.step))
        count = max(1, min(self.count, round(self.count * step / apart)))
        wider = self.step * (self.count / count)
        return replace(self, count=count, middle=self.middle + (wider - self.step) / 2, step=wider)

    def voxels(self, grid: Grid) -> tuple[int, int]:
        """Return how many voxels of a volume's grid (rows, columns) lie along the sides of its own slices."""
        steps = grid.ras_to_ijk[:3, :3] @ np.stack([self.down, self.right], axis=1)
        rows, columns = np.rint(np.abs(steps).max(axis=0)).astype(int).tolist()
        return rows, columns

    def parallel(self, other: Stack) -> bool:
        """Tell whether another stack has the same slices."""
        mine, theirs = (np.stack([one.middle, one.right, one.down, one.step]) for one in (self, other))
        return self.count == other.count and bool(np.abs(mine - theirs).max() < 1e-6)


def stack_along(grid: Grid, normal: Ras | None = None) -> Stack:
    """Return the slices of a volume's grid that face a direction.

    Those that the volume has itself, along any of its axes, are taken voxel for voxel. Oblique ones are a voxel apart,
    and begin at the volume's corner, so that the same view always meets the same slices.

    Args:
        grid: of the volume.
        normal: RAS, of length 1; None for the slices that were acquired: those furthest apart, or, where voxels are
            cubes, the most axial ones.
    """
    if normal is None:
        return _own(grid, _acquired(grid))
    best, along = _facing(grid, normal)
    return _own(grid, best) if along >= ALIGNED else _oblique(grid, np.round(np.asarray(normal), 4))


def own_stack(grid: Grid, normal: Ras) -> Stack:
    """Return those of a volume's own slices, along any of its axes, that face a direction (RAS, of length 1) best."""
    return _own(grid, _facing(grid, normal)[0])


def _facing(grid: Grid, normal: Ras) -> tuple[int, float]:
    """Return the axis (I, J, K) whose slices face a direction best, and how well (cosine)."""
    along = [abs(float(np.dot(_normal_of(grid, axis), normal))) for axis in range(3)]
    best = int(np.argmax(along))
    return best, along[best]


def _acquired(grid: Grid) -> int:
    """Return the axis (I, J, K) along which the voxels are largest."""
    spacing = grid.spacing
    if spacing.max() > 1.05 * np.median(spacing):
        return int(spacing.argmax())
    return int(np.argmax([abs(_normal_of(grid, axis)[2]) for axis in range(3)]))


def _normal_of(grid: Grid, axis: int) -> Vector:
    """Return the normal of the slices that an axis (I, J, K) counts; the axis itself may be askew."""
    first, second = (grid.ijk_to_ras[:3, other] for other in range(3) if other != axis)
    across = np.cross(first, second)
    return np.asarray(across / np.linalg.norm(across), np.float64)


def _own(grid: Grid, axis: int) -> Stack:
    """Return the volume's own slices along an axis (I, J, K)."""
    columns: Matrix = grid.ijk_to_ras[:3, :3]
    counts = np.array(grid.shape[::-1])
    view = int(np.abs(_normal_of(grid, axis)).argmax())
    others = [other for other in range(3) if other != axis]
    downness = [abs(float(columns[:, other] @ DOWN[view])) / grid.spacing[other] for other in others]
    down, right = others[int(np.argmax(downness))], others[int(np.argmin(downness))]
    spans = {down: DOWN[view], right: RIGHT[view]}
    span = {one: columns[:, one] * counts[one] * np.sign(columns[:, one] @ to or 1.0) for one, to in spans.items()}
    first = (counts - 1) / 2
    first[axis] = 0
    return Stack(int(counts[axis]), grid.to_ras(first), span[right], span[down], columns[:, axis])


def _oblique(grid: Grid, direction: Vector) -> Stack:
    """Return slices that face a direction of no axis."""
    normal = direction / np.linalg.norm(direction)
    view = int(np.abs(normal).argmax())
    down = DOWN[view] - normal * (DOWN[view] @ normal)
    down /= np.linalg.norm(down)
    right = np.cross(down, normal)
    right *= np.sign(right @ RIGHT[view]) or 1.0
    ends = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * np.array(grid.shape[::-1]) - 0.5
    places = grid.to_ras(ends) @ np.stack([right, down, normal], axis=1)
    low, high = places.min(axis=0), places.max(axis=0)
    apart = float(np.linalg.norm(normal @ grid.ijk_to_ras[:3, :3]))
    count = max(int(np.ceil((high[2] - low[2]) / apart - 1e-6)), 1)
    middle = np.array([*(low[:2] + high[:2]) / 2, low[2] + apart / 2]) @ np.stack([right, down, normal])
    return Stack(count, middle, right * (high[0] - low[0]), down * (high[1] - low[1]), normal * apart)
