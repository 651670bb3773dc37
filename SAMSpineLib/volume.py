"""Voxels and where they lie in the patient.

The one inner world is RAS, millimetres, float64. Arrays are numpy (K, J, I): the first axis is the slowest, as
SimpleITK and VTK hand them over, while index triples are written (I, J, K), the order of the columns of `ijk_to_ras`.
Only this file and `mrml/` turn one into the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import GeometryError, VolumeError

Matrix = npt.NDArray[np.float64]
Extent = tuple[int, int, int, int, int, int]

LPS_FROM_RAS: Matrix = np.diag([-1.0, -1.0, 1.0, 1.0])


def ras_from_lps(matrix: npt.ArrayLike) -> Matrix:
    """Turn an `ijk_to_lps` matrix (4, 4) into `ijk_to_ras`, or the other way round: the flip is its own inverse."""
    return LPS_FROM_RAS @ np.asarray(matrix, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice in the patient: `shape` (K, J, I) voxels and `ijk_to_ras` (4, 4) in mm, any orientation.

    Raises:
        GeometryError: if the shape has an empty axis or the matrix is singular or not finite.
    """

    shape: tuple[int, int, int]
    ijk_to_ras: Matrix = field(repr=False)

    def __post_init__(self) -> None:
        """Check and freeze the geometry."""
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            msg = f"A grid needs three axes of at least one voxel, got shape {self.shape}"
            raise GeometryError(msg)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            msg = f"A grid needs an invertible, finite 4x4 matrix from IJK to RAS, got {matrix.tolist()}"
            raise GeometryError(msg)
        matrix.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "ijk_to_ras", matrix)

    @classmethod
    def centred_on(cls, ras: npt.ArrayLike, *, shape: tuple[int, int, int], spacing: float) -> Grid:
        """Build an isotropic grid with axes along R, A, S whose middle voxel's centre is at `ras` (mm)."""
        matrix = np.diag([spacing, spacing, spacing, 1.0])
        matrix[:3, 3] = np.asarray(ras, dtype=np.float64) - spacing * (np.array(shape[::-1]) // 2)
        return cls(shape, matrix)

    @cached_property
    def ras_to_ijk(self) -> Matrix:
        """Inverse of `ijk_to_ras` (4, 4)."""
        return np.asarray(np.linalg.inv(self.ijk_to_ras), dtype=np.float64)

    @property
    def spacing(self) -> npt.NDArray[np.float64]:
        """Voxel size along I, J, K (mm)."""
        return np.asarray(np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0), dtype=np.float64)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel (mm^3)."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3])))

    def to_ijk(self, ras: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map points (..., 3) from RAS mm to continuous voxel indices (I, J, K)."""
        points = np.asarray(ras, dtype=np.float64)
        return points @ self.ras_to_ijk[:3, :3].T + self.ras_to_ijk[:3, 3]

    def to_ras(self, ijk: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map continuous voxel indices (..., 3) in the order I, J, K to RAS mm."""
        points = np.asarray(ijk, dtype=np.float64)
        return points @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def corners(self) -> npt.NDArray[np.float64]:
        """Return the centres of the eight corner voxels (8, 3) in RAS mm."""
        ends = np.meshgrid(*((0.0, n - 1.0) for n in self.shape[::-1]), indexing="ij")
        return self.to_ras(np.stack(ends, axis=-1).reshape(-1, 3))

    def voxel_at(self, ras: npt.ArrayLike) -> tuple[int, int, int] | None:
        """Return the array index (k, j, i) of the voxel that holds a point (RAS mm), or None outside the grid."""
        ijk = np.floor(self.to_ijk(ras) + 0.5)
        if (ijk < 0).any() or (ijk >= np.array(self.shape[::-1])).any():
            return None
        return (int(ijk[2]), int(ijk[1]), int(ijk[0]))

    def holds(self, ras: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which of the places (..., 3) in RAS mm lie in a voxel of the grid."""
        ijk = self.to_ijk(ras)
        return np.asarray(((ijk > -0.5) & (ijk < np.array(self.shape[::-1]) - 0.5)).all(axis=-1))

    def extent_of(self, other: Grid) -> Extent | None:
        """Return the voxels of this grid whose centres may lie in `other`: (i0, i1, j0, j1, k0, k1), inclusive.

        None where the two do not meet.
        """
        k, j, i = other.shape
        corners = np.array([[a, b, c] for a in (-0.5, i - 0.5) for b in (-0.5, j - 0.5) for c in (-0.5, k - 0.5)])
        ijk = self.to_ijk(other.to_ras(corners))
        low = np.maximum(np.ceil(ijk.min(axis=0) - 1e-6), 0).astype(int)
        high = np.minimum(np.floor(ijk.max(axis=0) + 1e-6), np.array(self.shape[::-1]) - 1).astype(int)
        if (low > high).any():
            return None
        return (int(low[0]), int(high[0]), int(low[1]), int(high[1]), int(low[2]), int(high[2]))

    def crop(self, extent: Extent) -> Grid:
        """Return the sub-grid of an inclusive extent (i0, i1, j0, j1, k0, k1)."""
        i0, i1, j0, j1, k0, k1 = extent
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = self.to_ras([i0, j0, k0])
        return Grid((k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1), matrix)

    def same_place(self, other: Grid, *, tolerance: float = 1e-3) -> bool:
        """Tell whether both grids have the same voxels at the same places (to `tolerance` mm at the corners)."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self.corners() - other.corners()).max() <= tolerance)

    def same_voxels(self, other: Grid, *, tolerance: float = 1e-2) -> bool:
        """Tell whether both grids have voxels at the same places (to `tolerance` voxels), in whatever order of axes."""
        if np.prod(self.shape) != np.prod(other.shape):
            return False
        mine, theirs = (np.round(other.to_ijk(one.corners()) / tolerance) for one in (self, other))
        gap = np.abs(mine[:, None] - theirs[None]).max(axis=2)
        return bool((gap.min(axis=0) <= 1).all() and (gap.min(axis=1) <= 1).all())


def slices_of(extent: Extent) -> tuple[slice, slice, slice]:
    """Return the numpy slices (K, J, I) of an inclusive extent (i0, i1, j0, j1, k0, k1)."""
    i0, i1, j0, j1, k0, k1 = extent
    return (slice(k0, k1 + 1), slice(j0, j1 + 1), slice(i0, i1 + 1))


# Air and fat lie far below water, which CT calls zero; no other modality has such values.
BELOW_WATER = -50
_LOOKED_AT = 1_000_000


def guessed_modality(array: npt.NDArray[np.number]) -> str:
    """Return `CT` or `OT` (other) for voxels (K, J, I) whose file does not say what they are, by what values they have.

    At most a million voxels, spread over the volume, are looked at.
    """
    stride = max(1, int(np.ceil((array.size / _LOOKED_AT) ** (1 / 3))))
    seen = array[::stride, ::stride, ::stride]
    return "CT" if array.dtype.kind in "if" and bool((seen < BELOW_WATER).any()) else "OT"


@dataclass(frozen=True, eq=False)
class Volume:
    """An image: `array` (K, J, I), integer or float, and the `grid` it lies on; `modality` as in DICOM (CT, MR, US).

    Raises:
        VolumeError: if the array is not three-dimensional, not numeric, or of another shape than its grid.
    """

    array: npt.NDArray[np.number] = field(repr=False)
    grid: Grid
    name: str = "volume"
    modality: str = "CT"

    def __post_init__(self) -> None:
        """Check that voxels and grid agree."""
        if self.array.ndim != 3:
            msg = f"A volume needs three axes (K, J, I), got an array of shape {self.array.shape}"
            raise VolumeError(msg)
        if self.array.dtype.kind not in "iufb":
            msg = f"A volume needs integer or real voxels, got {self.array.dtype}"
            raise VolumeError(msg)
        if tuple(self.array.shape) != self.grid.shape:
            msg = f"A volume's array of shape {self.array.shape} does not fit its grid of shape {self.grid.shape}"
            raise VolumeError(msg)

    @classmethod
    def from_array(
        cls, array: npt.NDArray[np.number], ijk_to_ras: npt.ArrayLike, *, name: str = "volume", modality: str = "CT"
    ) -> Volume:
        """Build a volume from voxels (K, J, I) and a matrix from IJK to RAS mm."""
        if array.ndim != 3:
            msg = f"A volume needs three axes (K, J, I), got an array of shape {array.shape}"
            raise VolumeError(msg)
        k, j, i = array.shape
        return cls(array, Grid((k, j, i), np.asarray(ijk_to_ras, dtype=np.float64)), name, modality)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along K, J, I."""
        return self.grid.shape

    @property
    def ijk_to_ras(self) -> Matrix:
        """Matrix (4, 4) from voxel index I, J, K to RAS mm."""
        return self.grid.ijk_to_ras
