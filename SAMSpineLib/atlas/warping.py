"""Bring masks and label maps through a transform onto another grid, with soft edges and without mixing values.

Values of a label map are names, not amounts: between 2 and 4 there is no 3. Each label is therefore warped by itself,
as its signed distance (shape-based interpolation, Raya and Udupa, IEEE TMI 1990), which also keeps thick slices
smooth, and becomes a probability only at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.atlas.transforms import Points, SpatialTransform, places_of
from SAMSpineLib.errors import VolumeError
from SAMSpineLib.volume import Grid

Mask = npt.NDArray[np.bool_]
Probability = npt.NDArray[np.float32]

_POINTS_AT_ONCE = 1_000_000


def signed_distance(share: npt.NDArray[Any], spacing: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the distance (mm) to the surface of a mask, positive inside.

    Args:
        share: (K, J, I), how much of a voxel is inside: bool, or 0..1 for a surface that is placed within voxels.
        spacing: voxel size along I, J, K (mm).

    Raises:
        VolumeError: if the mask is empty or fills the whole array.
    """
    inside = share >= 0.5
    if inside.all() or not inside.any():
        msg = f"Expected a mask with an inside and an outside, got {inside.sum()} of {inside.size} voxels inside"
        raise VolumeError(msg)
    sampling = np.asarray(spacing, dtype=np.float64)[::-1]
    distance = np.empty(share.shape, np.float32)
    for side in (True, False):
        of_side = inside == side
        mm, nearest = ndimage.distance_transform_edt(of_side, sampling=sampling, return_indices=True)
        # The surface lies before the first centre of the other side, by as much as that voxel is still on this one.
        beyond = np.abs(share[tuple(nearest[:, of_side])] - 0.5) * sampling.min()
        distance[of_side] = (mm[of_side] - beyond) * (1 if side else -1)
    return distance


def warp_mask(mask: npt.NDArray[Any], moving_grid: Grid, transform: SpatialTransform, target: Grid) -> Probability:
    """Warp a mask (K, J, I) onto a grid of the fixed space.

    Args:
        mask: what is not zero is inside.
        moving_grid: where it lies in the moving space (RAS mm).
        transform: from fixed to moving space.
        target: where it is wanted, any orientation.

    Returns:
        Probability 0..1 (K, J, I) on `target`: 0.5 on the surface, rising over one voxel of the target.
    """
    return _warp({1: mask != 0}, moving_grid, transform, target)[1]


def warp_labels(
    labels: npt.NDArray[Any], grid: Grid, transform: SpatialTransform, target: Grid
) -> dict[int, Probability]:
    """Warp each label of a map (K, J, I) by itself onto a grid of the fixed space.

    Returns:
        For each value above 0 its probability (K, J, I) on `target`, as `warp_mask` gives it. Each takes as much
        memory as the target: crop that to what is needed.

    Raises:
        VolumeError: if the labels are not whole numbers.
    """
    if labels.dtype.kind not in "iub":
        msg = f"Expected a label map of whole numbers, got {labels.dtype}; convert it first"
        raise VolumeError(msg)
    return _warp({int(v): labels == v for v in np.unique(labels) if v > 0}, grid, transform, target)


def _warp(
    masks: Mapping[int, Mask], moving_grid: Grid, transform: SpatialTransform, target: Grid
) -> dict[int, Probability]:
    if any(mask.shape != moving_grid.shape for mask in masks.values()):
        msg = f"Expected voxels of the grid's shape {moving_grid.shape}; give the grid that belongs to them"
        raise VolumeError(msg)
    width = float(np.cbrt(target.voxel_volume))
    crops = {value: _distance_crop(mask, moving_grid, width) for value, mask in masks.items() if mask.any()}
    warped = {value: np.zeros(target.shape, np.float32) for value in masks}
    for slab, places in _mapped(transform, target):
        for value, (distance, grid) in crops.items():
            index = grid.to_ijk(places)[..., ::-1]
            near = ((index >= 0) & (index <= np.array(grid.shape) - 1)).all(axis=-1)
            mm = ndimage.map_coordinates(distance, index[near].T, order=1)
            warped[value][slab][near] = np.clip(0.5 + mm / width, 0.0, 1.0)
    return warped


def _distance_crop(mask: Mask, grid: Grid, room_mm: float) -> tuple[npt.NDArray[np.float32], Grid]:
    """Return the signed distance around a mask, with room on every side, also where the grid ends."""
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    room = 1 + np.ceil(room_mm / grid.spacing[::-1]).astype(int)
    k, j, i = ((side.start - int(n), side.stop - 1 + int(n)) for side, n in zip(box, room, strict=True))
    padded = np.pad(mask[box], [(int(n), int(n)) for n in room])
    return signed_distance(padded, grid.spacing), grid.crop((*i, *j, *k))


def _mapped(transform: SpatialTransform, target: Grid) -> Iterator[tuple[slice, Points]]:
    """Yield slabs of a grid, as a scan at once is too much, and where their voxels (K, J, I, 3) lie in moving space."""
    depth = max(1, _POINTS_AT_ONCE // (target.shape[1] * target.shape[2]))
    last = (target.shape[2] - 1, target.shape[1] - 1)
    for start in range(0, target.shape[0], depth):
        stop = min(start + depth, target.shape[0])
        part = target.crop((0, last[0], 0, last[1], start, stop - 1))
        yield slice(start, stop), transform.map(places_of(part))
