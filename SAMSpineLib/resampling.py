"""Read a volume on another grid: the only place where voxels are interpolated.

The cost is that of the target grid and the part of the volume it meets, never that of the whole volume.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.volume import Extent, Grid, Matrix, slices_of

AIR_HU = -1024.0

Voxels = npt.NDArray[Any]


def sample(array: Voxels, grid: Grid, target: Grid, *, fill: float, order: int = 1) -> Voxels:
    """Interpolate voxels (K, J, I) on `grid` at the voxels of `target`.

    Where `target` is coarser than `grid` and the interpolation linear, the image is smoothed first (standard deviation
    (ratio - 1) / 2 voxels), so that thin cortical bone fades instead of flickering.

    Args:
        array: voxels of any real type, also on disk (`numpy.memmap`): only the part that `target` meets is read.
        grid: where they lie.
        target: where values are wanted.
        fill: value outside the volume, which ends half a voxel beyond its outermost centres.
        order: 1 for linear (returns float32), 0 for nearest (keeps the type).
    """
    dtype = np.float32 if order else array.dtype
    margin = grid.extent_of(target)
    if margin is None and not _touches(grid, target):
        return np.full(target.shape, fill, dtype)
    extent = _padded(grid, target)
    crop = np.asarray(array[slices_of(extent)], dtype=dtype)
    source = grid.crop(extent)
    # Rounded to far less than any place is known, so that the same grid gives the same voxels to the last bit.
    mapping = np.round(source.ras_to_ijk @ target.ijk_to_ras, 10)
    if order:
        crop = _smoothed(crop, mapping)
    matrix, offset = mapping[2::-1, 2::-1], mapping[2::-1, 3]
    if order and 1 in target.shape and _axes(matrix) is not None:
        return _slice_of(crop, matrix, offset, target.shape, fill)
    diagonal = np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-9)
    values: Voxels = ndimage.affine_transform(
        crop, np.diag(matrix) if diagonal else matrix, offset, target.shape, dtype, order, mode="nearest"
    )
    values[~_inside(mapping, crop.shape, target.shape)] = fill
    return values


def sample_labels(labels: Voxels, grid: Grid, target: Grid) -> Voxels:
    """Read a label map (K, J, I) on `grid` at the voxels of `target`: nearest voxel, 0 outside.

    Both grids may be oblique and anisotropic. Where they are at the same place the array itself is returned, not a
    copy. Only the part of `target` that labels reach is computed.
    """
    if grid.same_place(target):
        return labels
    result = np.zeros(target.shape, labels.dtype)
    for k, j, i in ndimage.find_objects((labels != 0).view(np.uint8)):
        source = grid.crop((i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1))
        reached = target.extent_of(source)
        if reached is not None:
            result[slices_of(reached)] = sample(labels[k, j, i], source, target.crop(reached), fill=0, order=0)
    return result


def _touches(grid: Grid, target: Grid) -> bool:
    """Tell whether any voxel of `target` lies in `grid` although no voxel centre of `grid` lies in `target`."""
    return target.extent_of(grid) is not None


def _padded(grid: Grid, target: Grid) -> Extent:
    """Return the extent of `grid` that the interpolation needs: that of the target's corners and two voxels more."""
    ijk = grid.to_ijk(target.corners())
    reach = 2 + np.ceil(target.spacing.max() / grid.spacing).astype(int)
    last = np.array(grid.shape[::-1]) - 1
    low = np.clip(np.floor(ijk.min(axis=0)).astype(int) - reach, 0, last)
    high = np.clip(np.ceil(ijk.max(axis=0)).astype(int) + reach, 0, last)
    return (int(low[0]), int(high[0]), int(low[1]), int(high[1]), int(low[2]), int(high[2]))


def _smoothed(crop: npt.NDArray[np.float32], mapping: Matrix) -> npt.NDArray[np.float32]:
    """Blur along the axes on which one target voxel steps over several source voxels."""
    steps = np.abs(mapping[:3, :3]).max(axis=1)[::-1]
    sigmas = np.maximum(steps - 1.0, 0.0) / 2.0
    if sigmas.max() < 0.1:
        return crop
    smooth: npt.NDArray[np.float32] = ndimage.gaussian_filter(crop, sigmas, mode="nearest", truncate=2.5)
    return smooth


def _inside(mapping: Matrix, source_shape: tuple[int, ...], shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Mark the target voxels (K, J, I) whose centre lies within half a voxel of the source."""
    inside = np.ones(shape, bool)
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for row, size in zip(mapping[:3], source_shape[::-1], strict=True):
        low, high = -0.5 - 1e-6, size - 0.5 + 1e-6
        # An axis without influence is left out: on parallel grids no sum grows beyond a line of voxels.
        places = [step * axis for step, axis in zip(row[:3], (i, j, k), strict=True) if abs(step) * axis.size > 1e-9]
        place = row[3] + sum(places[1:], start=places[0])
        inside &= (place >= low) & (place <= high)
    return inside


def _axes(matrix: Matrix) -> list[int] | None:
    """Return which source axis each target axis runs along, or None where one runs askew."""
    along = np.abs(matrix) > 1e-9
    return along.argmax(axis=0).tolist() if (along.sum(axis=0) == 1).all() and (along.sum(axis=1) == 1).all() else None


def _slice_of(
    crop: npt.NDArray[np.float32], matrix: Matrix, offset: Matrix, shape: tuple[int, int, int], fill: float
) -> npt.NDArray[np.float32]:
    """Interpolate linearly on a lattice whose axes run along those of the source: one axis after the other.

    It gives what `ndimage.affine_transform` does, to within rounding, in a fraction of the time.
    """
    axes = _axes(matrix) or []
    values = np.transpose(crop, axes)
    outside = []
    for axis, (source, count) in enumerate(zip(axes, shape, strict=True)):
        size = crop.shape[source]
        places = matrix[source, axis] * np.arange(count) + offset[source]
        outside.append((places < -0.5 - 1e-6) | (places > size - 0.5 + 1e-6))
        places = np.clip(places, 0, size - 1)
        low = places.astype(int)
        share = (places - low).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(3)])
        first = values.take(low, axis)
        values = (
            first if not share.any() else first + share * (values.take(np.minimum(low + 1, size - 1), axis) - first)
        )
    for axis, beyond in enumerate(outside):
        if beyond.any():
            values[(slice(None),) * axis + (beyond,)] = fill
    return values
