"""From prompts in RAS millimetres to what SAM understands on one slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from SAMSpineLib.models.drawing import along, enclosed, within
from SAMSpineLib.models.sam.backbone import Pixels, SlicePrompts
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Prompt, Scribble
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Grid

# SAM was trained with few points: this many stand for a line, and half of them for an area that is excluded.
LINE_POINTS = 6
# Logits of a mask that is certain.
CERTAIN = 10.0
# How much of the network's image one value of a mask covers.
STRIDE = 4


def coarse_grid(grid: Grid, image_size: int) -> Grid:
    """Return the grid (1, S/4, S/4) of the masks that SAM makes of a slice (1, H, W), padding included."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :2] *= STRIDE
    matrix[:3, 3] = grid.to_ras([(STRIDE - 1) / 2, (STRIDE - 1) / 2, 0])
    side = image_size // STRIDE
    return Grid((1, side, side), matrix)


def slice_prompts(
    prompts: Sequence[Prompt], grid: Grid, image_size: int, *, previous: Pixels | None = None
) -> SlicePrompts:
    """Return what prompts say on a slice.

    Points count in the slice that they lie in, lines with those of their vertices that do. Of several boxes the last
    one counts. A lasso around the structure is a box and a mask; one around what is not it, a few points. A mask prompt
    is a mask and the box around it.

    Args:
        prompts: in their order, RAS mm.
        grid: the slice (1, H, W).
        image_size: side of the network's square (pixels).
        previous: (S/4, S/4) logits of an earlier answer on this slice; a mask or a lasso that is given takes its place.
    """
    points: list[npt.NDArray[np.float64]] = []
    signs: list[bool] = []
    box: Pixels | None = None
    mask = previous
    for prompt in prompts:
        if isinstance(prompt, Box):
            box = _box_of(_corners(prompt), grid)
        elif isinstance(prompt, MaskPrompt) or (isinstance(prompt, Lasso) and prompt.positive):
            drawn = _mask_of(prompt, coarse_grid(grid, image_size))
            if drawn is not None:
                mask, box = drawn if previous is None else previous, box_around(drawn)
        else:
            found = _in_slice(_places(prompt, grid), grid)
            points += list(found)
            signs += [prompt.positive] * len(found)
    xy = np.array(points, np.float32).reshape(-1, 2)
    return SlicePrompts(xy, np.array(signs, bool), box, mask)


def _places(prompt: Point | Scribble | Lasso, grid: Grid) -> npt.NDArray[np.float64]:
    """Return the places (N, 3) RAS mm that stand for a prompt."""
    if isinstance(prompt, Point):
        return np.array([prompt.ras])
    step = float(grid.spacing[:2].min())
    if isinstance(prompt, Scribble):
        return _some(along(prompt.points, step), LINE_POINTS)
    extent = float(np.ptp(np.array(prompt.points), axis=0).max())
    return _some(within(prompt.points, max(extent / 8, step)), LINE_POINTS // 2)


def _some(places: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.float64]:
    """Return evenly spread ones of many places, none of them an end where others are left."""
    if len(places) <= most:
        return places
    return np.asarray(places[((np.arange(most) + 0.5) * len(places) / most).astype(int)])


def _in_slice(places: npt.NDArray[np.float64], grid: Grid) -> npt.NDArray[np.float64]:
    """Return the pixels (N, 2) x, y of the places that lie in a slice."""
    ijk = grid.to_ijk(places)
    return np.asarray(ijk[np.abs(ijk[:, 2]) <= 0.5 + 1e-6][:, :2])


def _corners(box: Box) -> npt.NDArray[np.float64]:
    """Return the eight corners (8, 3) of a box, RAS mm."""
    low, high = np.array(box.corner_a), np.array(box.corner_b)
    return np.array([np.where([a, b, c], high, low) for a in (0, 1) for b in (0, 1) for c in (0, 1)])


def _box_of(places: npt.NDArray[np.float64], grid: Grid) -> Pixels | None:
    """Return the box x0, y0, x1, y1 around places of which some lie on either side of a slice, or in it; else None."""
    ijk = grid.to_ijk(places)
    if ijk[:, 2].min() > 0.5 + 1e-6 or ijk[:, 2].max() < -0.5 - 1e-6:
        return None
    return np.concatenate([ijk[:, :2].min(axis=0), ijk[:, :2].max(axis=0)]).astype(np.float32)


def _mask_of(prompt: MaskPrompt | Lasso, grid: Grid) -> Pixels | None:
    """Return a mask's or an outline's logits (h, w) on the grid of masks; None where nothing of it is in the slice."""
    if isinstance(prompt, MaskPrompt):
        share = np.asarray(sample(prompt.mask, prompt.grid, grid, fill=0.0)[0], np.float32)
    else:
        outline = _in_slice(np.array(prompt.points), grid)
        if len(outline) < 3:
            return None
        y, x = np.mgrid[: grid.shape[1], : grid.shape[2]]
        inside = enclosed(np.stack([x.ravel(), y.ravel()], axis=1).astype(float), outline)
        share = inside.reshape(x.shape).astype(np.float32)
    return (share * 2 - 1) * np.float32(CERTAIN) if (share > 0.5).any() else None


def box_around(logits: Pixels) -> Pixels:
    """Return the box around a mask, in pixels of the network's image."""
    y, x = np.nonzero(logits > 0)
    low, high = np.array([x.min(), y.min()]) * STRIDE, (np.array([x.max(), y.max()]) + 1) * STRIDE - 1
    return np.concatenate([low, high]).astype(np.float32)
