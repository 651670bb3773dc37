"""From a probability on the model's lattice to voxels of the volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.models.protocols import Probability
from SAMSpineLib.prompts import Lasso, MaskPrompt, Point, Prompt, Scribble, anchor
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Extent, Grid, slices_of

Mask = npt.NDArray[np.bool_]
Settle = Callable[[Mask, Extent], Mask]

# Thin bone (laminae, the isthmus) drops below the threshold between two voxels: pieces are taken as joined, and so
# kept, from this share of the threshold on.
JOINED = 0.6


def painted(
    probability: Probability,
    lattice: Grid,
    grid: Grid,
    prompts: Sequence[Prompt],
    *,
    threshold: float,
    settle: Settle | None = None,
) -> tuple[Mask, Extent] | None:
    """Return the mask (K, J, I) on the volume's `grid`, cropped to its extent, or None where nothing is marked.

    Pieces without a positive click, scribble or lasso are dropped, unless there is none or a mask prompt said where to
    look. `settle`, given a mask and its extent, returns the mask with its border where the image has it. A voxel that
    was clicked is marked as the click said, whatever network and image think.
    """
    kept = _prompted_pieces(probability, lattice, prompts, threshold)
    box = _bounds(kept > threshold)
    clicks = clicked_voxels(grid, prompts)
    extent = grid.extent_of(lattice.crop(box)) if box is not None else None
    extent = joined([] if extent is None else [extent], [voxel for voxel, positive in clicks if positive])
    if extent is None:
        return None
    place = grid.crop(extent)
    inner = lattice.crop(box) if box is not None else lattice
    values = kept[slices_of(box)] if box is not None else kept
    mask = np.asarray(sample(values, inner, place, fill=0.0) > threshold)
    if settle is not None:
        mask = settle(mask, extent)
    for (k, j, i), positive in clicks:
        if extent[0] <= i <= extent[1] and extent[2] <= j <= extent[3] and extent[4] <= k <= extent[5]:
            mask[k - extent[4], j - extent[2], i - extent[0]] = positive
    return mask, extent


def _prompted_pieces(
    probability: Probability, lattice: Grid, prompts: Sequence[Prompt], threshold: float
) -> Probability:
    """Return the probability without the pieces that no positive prompt touches."""
    places = _positive_places(prompts)
    if not places or any(isinstance(prompt, MaskPrompt) for prompt in prompts):
        return probability
    pieces, count = ndimage.label(probability > threshold * JOINED, np.ones((3, 3, 3)))
    if count <= 1:
        return probability
    voxels = [lattice.voxel_at(place) for place in places]
    touched = {int(pieces[voxel]) for voxel in voxels if voxel is not None} - {0}
    if not touched:
        touched = {int(np.bincount(pieces.ravel())[1:].argmax()) + 1}
    kept = np.zeros(count + 1, np.float32)
    kept[list(touched)] = 1.0
    remaining: Probability = probability * kept[pieces]
    return remaining


def _positive_places(prompts: Sequence[Prompt]) -> list[tuple[float, float, float]]:
    places = [prompt.ras for prompt in prompts if isinstance(prompt, Point) and prompt.positive]
    lines = [prompt.points for prompt in prompts if isinstance(prompt, Scribble) and prompt.positive]
    middles = [anchor(prompt) for prompt in prompts if isinstance(prompt, Lasso) and prompt.positive]
    return places + [place for line in lines for place in line] + middles


def clicked_voxels(grid: Grid, prompts: Sequence[Prompt]) -> list[tuple[tuple[int, int, int], bool]]:
    """Return the voxels (k, j, i) of the volume that were clicked, in the order of the clicks."""
    points = [prompt for prompt in prompts if isinstance(prompt, Point)]
    if not points:
        return []
    kji = np.floor(grid.to_ijk([point.ras for point in points]) + 0.5)[:, ::-1]
    inside: list[bool] = np.all((kji >= 0) & (kji < grid.shape), axis=1).tolist()
    voxels = zip(kji.astype(int).tolist(), points, inside, strict=True)
    return [((k, j, i), point.positive) for (k, j, i), point, held in voxels if held]


def _bounds(mask: Mask) -> Extent | None:
    """Return the extent of the marked voxels with one voxel around, or None."""
    spans = [np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    if not len(spans[0]):
        return None
    sizes = mask.shape[::-1]
    ends = [(max(int(s[0]) - 1, 0), min(int(s[-1]) + 1, n - 1)) for s, n in zip(spans, sizes, strict=True)]
    return (*ends[0], *ends[1], *ends[2])


def joined(extents: Sequence[Extent], voxels: Sequence[tuple[int, int, int]]) -> Extent | None:
    """Return the smallest extent that holds others and single voxels (k, j, i), or None where there are none."""
    low = [(e[0], e[2], e[4]) for e in extents] + [(i, j, k) for k, j, i in voxels]
    high = [(e[1], e[3], e[5]) for e in extents] + [(i, j, k) for k, j, i in voxels]
    if not low:
        return None
    a, b = np.min(low, axis=0).tolist(), np.max(high, axis=0).tolist()
    return (a[0], b[0], a[1], b[1], a[2], b[2])


def union(first: Extent | None, second: Extent | None) -> Extent | None:
    """Return the smallest extent that holds both; None is the empty one."""
    if first is None or second is None:
        return first or second
    pairs = zip(first[::2], second[::2], strict=True), zip(first[1::2], second[1::2], strict=True)
    low, high = [min(p) for p in pairs[0]], [max(p) for p in pairs[1]]
    return (low[0], high[0], low[1], high[1], low[2], high[2])


def meeting(first: Extent, second: Extent) -> Extent | None:
    """Return the extent that two extents share, or None."""
    low = [max(pair) for pair in zip(first[::2], second[::2], strict=True)]
    high = [min(pair) for pair in zip(first[1::2], second[1::2], strict=True)]
    if any(a > b for a, b in zip(low, high, strict=True)):
        return None
    return (low[0], high[0], low[1], high[1], low[2], high[2])


def inner_slices(inner: Extent, outer: Extent) -> tuple[slice, slice, slice]:
    """Return where an extent lies in the crop of another one: numpy slices (K, J, I)."""
    i, j, k = outer[::2]
    return slices_of((inner[0] - i, inner[1] - i, inner[2] - j, inner[3] - j, inner[4] - k, inner[5] - k))
