"""The robot user: looks at the worst error and clicks into it, as a patient human would.

The truth and the prediction lie on one grid. Everything is computed on the part of it that they occupy.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.errors import PromptError
from SAMSpineLib.evaluation.metrics import AnyMask, BoolMask, bounding_extent, joint_extent
from SAMSpineLib.prompts import Point
from SAMSpineLib.volume import Grid, slices_of

Placement = Literal["deepest", "random"]
JITTER_DRAWS = 64


def next_click(
    truth: AnyMask,
    predicted: AnyMask,
    grid: Grid,
    *,
    rng: np.random.Generator,
    jitter_mm: float = 0.0,
    placement: Placement = "deepest",
) -> Point | None:
    """Return the click that a user would make next, or None if the prediction (K, J, I) equals the truth (K, J, I).

    The click goes into the largest connected error (voxels that touch by a face): positive where the structure was
    missed, negative where too much was marked; of two equally large ones the missed one. With an empty prediction
    that is the structure itself, so the first click is nothing special.

    Args:
        truth: what should be marked, on `grid`.
        predicted: what is marked, on `grid`.
        grid: the grid of both, any orientation and spacing.
        rng: source of all randomness; the same state gives the same click.
        jitter_mm: the click is moved by exactly this length (mm) in a direction drawn uniformly, and drawn again
            until it stays inside the error. An error in which 64 draws find no such place is clicked without jitter.
        placement: `deepest` is the voxel furthest (mm) from the error's border, where the image border counts as
            border and the first in array order wins a tie; an error one voxel thin, as in a single slice, has its
            border within that slice. `random` is any voxel of the error.

    Raises:
        GeometryError: if the masks differ in shape.
        PromptError: if the jitter is negative or not finite.
    """
    if not (np.isfinite(jitter_mm) and jitter_mm >= 0):
        msg = f"The jitter of the robot's clicks must be a length of at least 0 mm, got {jitter_mm}"
        raise PromptError(msg)
    found = largest_error(truth, predicted, grid)
    if found is None:
        return None
    component, where, positive = found
    place = _place(component, where, placement, rng)
    if jitter_mm > 0:
        place = _jittered(place, component, where, jitter_mm, rng)
    return Point((float(place[0]), float(place[1]), float(place[2])), positive)


def largest_error(truth: AnyMask, predicted: AnyMask, grid: Grid) -> tuple[BoolMask, Grid, bool] | None:
    """Return the largest connected error: its mask (K, J, I), that crop's grid, and True if it was missed.

    None if the masks are equal.
    """
    extent = joint_extent(truth, predicted)
    if extent is None:
        return None
    inner_truth, inner_predicted = truth[slices_of(extent)] != 0, predicted[slices_of(extent)] != 0
    missed, missed_size = _largest_component(inner_truth & ~inner_predicted)
    excess, excess_size = _largest_component(inner_predicted & ~inner_truth)
    if max(missed_size, excess_size) == 0:
        return None
    positive = missed_size >= excess_size
    component = missed if positive else excess
    tight = bounding_extent(component)
    if tight is None:  # cannot be: a component has at least one voxel
        return None
    return component[slices_of(tight)], grid.crop(extent).crop(tight), positive


def _largest_component(errors: BoolMask) -> tuple[BoolMask, int]:
    numbered, count = ndimage.label(errors)
    if count == 0:
        return errors, 0
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    winner = int(sizes.argmax())
    return numbered == winner, int(sizes[winner])


def _place(component: BoolMask, grid: Grid, placement: Placement, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    if placement == "random":
        voxels = np.argwhere(component)
        kji = voxels[int(rng.integers(len(voxels)))]
    else:
        kji = _deepest(component, grid)
    return grid.to_ras(kji[::-1])


def _deepest(component: BoolMask, grid: Grid) -> npt.NDArray[np.intp]:
    """Return the voxel (K, J, I) furthest from the border of a component that fills its crop."""
    # The margin makes whatever lies beyond the crop, or beyond the image, count as outside; but along an axis on which
    # the error is one voxel thin all of its voxels are as near to the margin, and none would be the deepest.
    margin = [(int(size > 1), int(size > 1)) for size in component.shape]
    if component.size == 1:
        return np.zeros(3, np.intp)
    depth = ndimage.distance_transform_edt(np.pad(component, margin), sampling=grid.spacing[::-1])
    kji = np.array(np.unravel_index(int(np.argmax(depth)), depth.shape))
    return np.asarray(kji - [before for before, _ in margin], np.intp)


def _jittered(
    place: npt.NDArray[np.float64], component: BoolMask, grid: Grid, jitter_mm: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    # All draws are made at once, so that how many random numbers a click uses up does not depend on the masks.
    directions = rng.normal(size=(JITTER_DRAWS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for candidate in place + jitter_mm * directions:
        index = grid.voxel_at(candidate)
        if index is not None and component[index]:
            return np.asarray(candidate, dtype=np.float64)
    return place
