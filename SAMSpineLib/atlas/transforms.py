"""Maps from one patient to another: RAS mm outside, a SimpleITK transform (LPS mm) inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from SAMSpineLib.errors import GeometryError, OutputError
from SAMSpineLib.volume import LPS_FROM_RAS, Grid

Points = npt.NDArray[np.float64]

_FLIP = np.array([-1.0, -1.0, 1.0])
_ENDINGS = (".h5", ".tfm")


class SpatialTransform:
    """A map from points of the fixed space to points of the moving space, both RAS mm.

    That is the direction in which images are resampled: what lies at x in the fixed image is found at `map(x)` in the
    moving one. `lps` is the same map for SimpleITK and for 3D Slicer's files.
    """

    def __init__(self, lps: sitk.Transform) -> None:
        """Wrap a three-dimensional SimpleITK transform.

        Raises:
            GeometryError: if it has another dimension.
        """
        if lps.GetDimension() != 3:
            msg = f"Expected a transform of three dimensions, got one of {lps.GetDimension()}; choose another"
            raise GeometryError(msg)
        self.lps = lps

    @classmethod
    def from_matrix(cls, matrix: npt.ArrayLike) -> SpatialTransform:
        """Build an affine map from a matrix (4, 4) between RAS points.

        Raises:
            GeometryError: if the matrix is not finite or singular.
        """
        ras = np.asarray(matrix, dtype=np.float64)
        if ras.shape != (4, 4) or not np.isfinite(ras).all() or abs(np.linalg.det(ras[:3, :3])) < 1e-9:
            msg = f"Expected an invertible, finite 4x4 matrix between RAS points, got {ras.tolist()}"
            raise GeometryError(msg)
        lps = LPS_FROM_RAS @ ras @ LPS_FROM_RAS
        affine = sitk.AffineTransform(3)
        affine.SetMatrix(lps[:3, :3].ravel().tolist())
        affine.SetTranslation(lps[:3, 3].tolist())
        return cls(affine)

    @classmethod
    def load(cls, path: Path) -> SpatialTransform:
        """Read a transform that ITK or 3D Slicer has written (.h5, .tfm).

        Raises:
            GeometryError: if there is none, or it is not three-dimensional.
        """
        try:
            return cls(sitk.ReadTransform(str(path)))
        except RuntimeError as error:
            msg = f"Expected a transform of ITK in {path.name}, but it cannot be read; save it again as .h5"
            raise GeometryError(msg) from error

    def save(self, path: Path) -> None:
        """Write the transform so that 3D Slicer reads it; a smooth one fits .h5 best.

        Raises:
            OutputError: if the ending is neither .h5 nor .tfm, or the file cannot be written.
        """
        if path.suffix not in _ENDINGS:
            msg = f"Expected a file ending in {' or '.join(_ENDINGS)}, got {path.name}; give it one of these endings"
            raise OutputError(msg)
        try:
            sitk.WriteTransform(self.lps, str(path))
        except RuntimeError as error:
            msg = f"{path} cannot be written: check that its folder exists, is writable and has space"
            raise OutputError(msg) from error

    def map(self, points: npt.ArrayLike) -> Points:
        """Map points (..., 3) from fixed to moving space, RAS mm."""
        ras = np.asarray(points, dtype=np.float64)
        flat = (ras * _FLIP).reshape(-1, 3)
        if flat.size == 0:
            return ras.copy()
        # SimpleITK maps one point per call. Laid out as a field over a line of voxels, all go through in one.
        line = np.zeros_like(flat)
        line[:, 0] = np.arange(len(flat))
        field = sitk.GetImageFromArray((flat - line).reshape(1, 1, -1, 3), isVector=True)
        whole = sitk.CompositeTransform([self.lps, sitk.DisplacementFieldTransform(field)])
        reader = sitk.TransformToDisplacementFieldFilter()
        reader.SetSize((len(flat), 1, 1))
        reader.SetOutputPixelType(sitk.sitkVectorFloat64)
        reader.SetNumberOfThreads(1)
        mapped = sitk.GetArrayFromImage(reader.Execute(whole)).reshape(-1, 3) + line
        return np.asarray((mapped * _FLIP).reshape(ras.shape), dtype=np.float64)

    def displacement(self, grid: Grid) -> Points:
        """Return `map(x) - x` (K, J, I, 3) in RAS mm at the voxels of a grid."""
        places = places_of(grid)
        return self.map(places) - places

    def jacobian(self, grid: Grid) -> npt.NDArray[np.float64]:
        """Return the local change of volume (K, J, I) at the voxels of a grid: 1 keeps it, 0 or less is a fold.

        From central differences between neighbouring voxels; every axis needs two of them.
        """
        mapped = self.map(places_of(grid))
        steps = np.stack([np.gradient(mapped, axis=axis) for axis in (2, 1, 0)], axis=-1)
        return np.asarray(np.linalg.det(steps) / np.linalg.det(grid.ijk_to_ras[:3, :3]), dtype=np.float64)


def places_of(grid: Grid) -> Points:
    """Return the centres (K, J, I, 3) of a grid's voxels in RAS mm."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    return grid.to_ras(index)
