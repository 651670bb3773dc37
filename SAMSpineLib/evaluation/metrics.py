"""How well two masks agree, in the patient's millimetres.

A mask is an array (K, J, I) of any numeric type: what is not zero is inside. Two masks that are compared lie on the
same grid, and `spacing_kji` is that grid's voxel size (mm) in the order of the axes. Everything is computed on the
part of the grid that the two masks occupy, so the cost follows the structure and not the scan.

Empty masks, everywhere in this folder: where both are empty there is nothing to score and the result is NaN, which
means skip; where one is empty, Dice and surface Dice are 0 and the Hausdorff distance is infinite.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import GeometryError, MissingExtraError
from SAMSpineLib.volume import Extent, Grid, slices_of

AnyMask = npt.NDArray[Any]
BoolMask = npt.NDArray[np.bool_]


def bounding_extent(mask: AnyMask) -> Extent | None:
    """Return the tightest extent (i0, i1, j0, j1, k0, k1), inclusive, around a mask (K, J, I); None if it is empty."""
    ranges: list[tuple[int, int]] = []
    inner = mask
    for axis in range(3):
        # Each axis is narrowed before the next one is looked at: only the first pass reads the whole array.
        hit = np.flatnonzero(inner.any(axis=tuple(a for a in range(3) if a != axis)))
        if hit.size == 0:
            return None
        ranges.append((int(hit[0]), int(hit[-1])))
        inner = inner[(slice(None),) * axis + (slice(int(hit[0]), int(hit[-1]) + 1),)]
    (k0, k1), (j0, j1), (i0, i1) = ranges
    return (i0, i1, j0, j1, k0, k1)


def joint_extent(a: AnyMask, b: AnyMask) -> Extent | None:
    """Return the tightest extent, inclusive, around both masks (K, J, I); None if both are empty.

    Raises:
        GeometryError: if the masks differ in shape.
    """
    if a.shape != b.shape:
        msg = f"Masks to compare must lie on one grid, got shapes {a.shape} and {b.shape}: resample one of them first"
        raise GeometryError(msg)
    found = [extent for extent in (bounding_extent(a), bounding_extent(b)) if extent is not None]
    if not found:
        return None
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    return (int(low[0]), int(high[1]), int(low[2]), int(high[3]), int(low[4]), int(high[5]))


def dice(a: AnyMask, b: AnyMask) -> float:
    """Return the Dice coefficient 2|A and B| / (|A| + |B|) of two masks (K, J, I): 0..1, NaN if both are empty."""
    extent = joint_extent(a, b)
    if extent is None:
        return math.nan
    inner_a, inner_b = a[slices_of(extent)] != 0, b[slices_of(extent)] != 0
    total = int(np.count_nonzero(inner_a)) + int(np.count_nonzero(inner_b))
    return 2.0 * int(np.count_nonzero(inner_a & inner_b)) / total


def iou(a: AnyMask, b: AnyMask) -> float:
    """Return the intersection over union |A and B| / |A or B| of two masks (K, J, I): 0..1, NaN if both are empty."""
    both = dice(a, b)
    return both / (2.0 - both)


def surface_dice(a: AnyMask, b: AnyMask, spacing_kji: Sequence[float], tolerance_mm: float = 2.0) -> float:
    """Return the normalised surface Dice (NSD) of two masks (K, J, I) at a tolerance in mm.

    The share of both surfaces' voxels that lie no further than `tolerance_mm` from the other surface (Nikolov et al.
    2021, with surfaces as sets of voxels, as MONAI computes it). The image border is a surface too.

    Returns:
        0..1; NaN if both are empty, 0 if one is.

    Raises:
        GeometryError: if the masks differ in shape.
        MissingExtraError: if MONAI is not installed.
    """
    crops = _padded_crops(a, b)
    if crops is None:
        return math.nan
    if not (crops[0].any() and crops[1].any()):
        return 0.0
    return _monai("compute_surface_dice", crops, spacing_kji, class_thresholds=[float(tolerance_mm)])


def hausdorff95(a: AnyMask, b: AnyMask, spacing_kji: Sequence[float]) -> float:
    """Return the larger of the two directed 95th percentile surface distances of two masks (K, J, I), in mm.

    Returns:
        At least 0; NaN if both are empty, infinity if one is.

    Raises:
        GeometryError: if the masks differ in shape.
        MissingExtraError: if MONAI is not installed.
    """
    crops = _padded_crops(a, b)
    if crops is None:
        return math.nan
    if not (crops[0].any() and crops[1].any()):
        return math.inf
    return _monai("compute_hausdorff_distance", crops, spacing_kji, percentile=95)


def volume_cm3(mask: AnyMask, grid: Grid) -> float:
    """Return the volume of a mask (K, J, I) on `grid`, in cubic centimetres."""
    return int(np.count_nonzero(mask)) * grid.voxel_volume / 1000.0


def centroid(mask: AnyMask, grid: Grid) -> npt.NDArray[np.float64] | None:
    """Return the centre of gravity (RAS mm) of a mask (K, J, I) on `grid`; None if the mask is empty."""
    extent = bounding_extent(mask)
    if extent is None:
        return None
    middle = np.argwhere(mask[slices_of(extent)]).mean(axis=0)[::-1]
    return grid.crop(extent).to_ras(middle)


def identified(
    predicted: Mapping[int, npt.ArrayLike], truth: Mapping[int, npt.ArrayLike], *, within_mm: float = 20.0
) -> dict[int, bool]:
    """Tell for each label of the truth whether the prediction found and named it, from centroids in RAS mm.

    A vertebra is identified if its predicted centroid lies within `within_mm` of the true one and no other true
    centroid is closer (the rule of the VerSe challenge, Sekuboyina et al. 2021). The mean is the identification rate.
    """
    values = list(truth)
    places = np.array([np.asarray(truth[v], dtype=np.float64) for v in values]).reshape(-1, 3)
    result: dict[int, bool] = {}
    for row, value in enumerate(values):
        if value not in predicted:
            result[value] = False
            continue
        distances = np.linalg.norm(places - np.asarray(predicted[value], dtype=np.float64), axis=1)
        result[value] = bool(distances[row] <= within_mm and distances[row] <= distances.min())
    return result


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of the finite values; NaN if there is none."""
    finite = [v for v in values if math.isfinite(v)]
    return float(np.mean(finite)) if finite else math.nan


def json_number(value: float) -> float | None:
    """Round for JSON, which has neither NaN nor infinity: those become None (`null`)."""
    return round(float(value), 5) if math.isfinite(value) else None


def _padded_crops(a: AnyMask, b: AnyMask) -> tuple[BoolMask, BoolMask] | None:
    extent = joint_extent(a, b)
    if extent is None:
        return None
    # One voxel of outside on every side, so that a mask cut off by the image border has a surface there.
    return (np.pad(a[slices_of(extent)] != 0, 1), np.pad(b[slices_of(extent)] != 0, 1))


def _monai(name: str, masks: tuple[BoolMask, BoolMask], spacing_kji: Sequence[float], **options: Any) -> float:
    # Imported on use: MONAI brings torch, and half of this folder is of use without either.
    try:
        import torch
        from monai import metrics
    except ImportError as error:
        raise MissingExtraError(package="monai", extra="sam") from error
    one_hot = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in masks]
    spacing = [float(s) for s in spacing_kji]
    with warnings.catch_warnings():
        # MONAI warns of its own use of an argument that it has deprecated; the user can do nothing about that.
        warnings.simplefilter("ignore", FutureWarning)
        return float(getattr(metrics, name)(*one_hot, include_background=True, spacing=spacing, **options))
