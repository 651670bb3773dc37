"""SimpleITK images <-> arrays (K, J, I) and grids (RAS mm), without a second copy of the voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.volume import Grid, Matrix, ras_from_lps

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = npt.NDArray[Any]

# How far the axes of a file may be from perpendicular; files that store float32 directions stay far below.
ORTHONORMAL_TOLERANCE = 1e-3


class _Held:
    """Lends numpy the buffer of an image and keeps that image alive as long as any array looks at it."""

    def __init__(self, image: sitk.Image) -> None:
        view = sitk.GetArrayViewFromImage(image)
        self.image = image
        # The image is ours alone (the view call made it unique), so numpy may write to it too.
        self.__array_interface__ = {**view.__array_interface__, "data": (view.ctypes.data, False)}


def array_of(image: sitk.Image) -> Array:
    """Return the voxels of an image as an array (K, J, I) that shares its memory and owns it from now on."""
    return np.asarray(_Held(image))


def grid_of(image: sitk.Image, name: str) -> Grid:
    """Return the grid of a two- or three-dimensional image; two dimensions give one slice, 1 mm thick.

    Raises:
        GeometryError: if the axes are not perpendicular.
    """
    dimension = image.GetDimension()
    direction, spacing, origin, size = np.eye(3), np.ones(3), np.zeros(3), np.ones(3, dtype=int)
    direction[:dimension, :dimension] = np.reshape(image.GetDirection(), (dimension, dimension))
    spacing[:dimension] = image.GetSpacing()
    origin[:dimension] = image.GetOrigin()
    size[:dimension] = image.GetSize()
    check_orthonormal(direction, name)
    return grid_from_lps(direction, spacing, origin, (int(size[2]), int(size[1]), int(size[0])))


def check_orthonormal(direction: npt.ArrayLike, name: str) -> None:
    """Refuse a direction matrix (3, 3) whose columns are not unit and perpendicular.

    Raises:
        GeometryError: if they are not.
    """
    columns = np.asarray(direction, dtype=np.float64)
    if not np.allclose(columns.T @ columns, np.eye(3), atol=ORTHONORMAL_TOLERANCE):
        msg = (
            f"{name}: its axes are not perpendicular (sheared), which an image grid cannot hold; "
            f"resample it to an orthogonal grid first (in 3D Slicer: Resample Scalar Volume)"
        )
        raise GeometryError(msg)


def grid_from_lps(
    direction: Matrix, spacing: npt.ArrayLike, origin: npt.ArrayLike, shape: tuple[int, int, int]
) -> Grid:
    """Build a grid of `shape` (K, J, I) from LPS axes in columns (3, 3), spacing along I, J, K and origin (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.asarray(spacing, dtype=np.float64)
    matrix[:3, 3] = origin
    return Grid(shape, ras_from_lps(matrix))


def image_from(array: Array, grid: Grid, name: str) -> sitk.Image:
    """Build a three-dimensional image (voxels copied) from an array (K, J, I) and its grid.

    Raises:
        GeometryError: if the grid is sheared, which no format but NRRD can hold.
    """
    check_orthonormal(grid.ijk_to_ras[:3, :3] / grid.spacing, name)
    image = sitk.GetImageFromArray(array)
    place_image(image, grid)
    return image


def place_image(image: sitk.Image, grid: Grid) -> None:
    """Give an image the geometry of a grid."""
    lps = ras_from_lps(grid.ijk_to_ras)
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / grid.spacing).ravel().tolist())


def mend_not_finite(array: Array, name: str) -> tuple[str, ...]:
    """Replace NaN and infinities in place by the smallest finite value; tell so in a notice.

    Raises:
        VolumeError: if not one voxel is finite.
    """
    if array.dtype.kind != "f":
        return ()
    # Slice by slice: a mask of the whole volume would cost a quarter of it again.
    masks = (np.isfinite(one) for one in array)
    found = [(float(one[ok].min()), int(ok.size - ok.sum())) for one, ok in zip(array, masks, strict=True) if ok.any()]
    if not found:
        msg = f"{name} holds no finite voxel (all NaN or infinite); export it again from its source"
        raise VolumeError(msg)
    finite = sum(array[0].size - bad for _, bad in found)
    bad = array.size - finite
    if not bad:
        return ()
    floor = min(value for value, _ in found)
    for one in array:
        one[~np.isfinite(one)] = floor
    return (
        f"{name}: {bad} of {array.size} voxels were NaN or infinite; they now hold the smallest finite value {floor:g}",
    )


def shape_text(size: Sequence[int]) -> str:
    """Write a size along I, J, K as people read it: 512 x 512 x 133."""
    return " x ".join(str(int(n)) for n in size)
