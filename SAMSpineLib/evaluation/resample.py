"""Bring a label map onto another grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.evaluation.metrics import bounding_extent
from SAMSpineLib.volume import Grid, slices_of


def resample_labels(array: npt.NDArray[Any], grid: Grid, target: Grid) -> npt.NDArray[Any]:
    """Return the labels (K, J, I) on `grid` as seen from the voxel centres of `target`, nearest neighbour.

    Both grids may be oblique and anisotropic. Voxels of `target` outside `grid` become 0. Where both grids are at
    the same place the array itself is returned, not a copy. Only the part that holds labels is computed.
    """
    if grid.same_place(target):
        return array
    result = np.zeros(target.shape, array.dtype)
    extent = bounding_extent(array)
    if extent is None:
        return result
    reached = target.extent_of(grid.crop(extent))
    if reached is None:
        return result
    # The margin of zeros lets centres up to half a voxel beyond the outermost one still find it.
    source = np.pad(array[slices_of(extent)].astype(_plain(array.dtype), copy=False), 1)
    to_source = grid.crop(extent).ras_to_ijk @ target.crop(reached).ijk_to_ras
    result[slices_of(reached)] = ndimage.affine_transform(
        source,
        to_source[2::-1, 2::-1],
        offset=to_source[2::-1, 3] + 1.0,
        output_shape=target.crop(reached).shape,
        order=0,
        mode="constant",
    )
    return result


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype
