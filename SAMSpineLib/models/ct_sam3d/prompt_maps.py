"""From prompts in RAS millimetres to the four maps that the decoder reads, on a patch's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from SAMSpineLib.models.ct_sam3d.click_maps import gaussian_map
from SAMSpineLib.models.drawing import along, within
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Prompt, Scribble
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Grid

Points = npt.NDArray[np.float64]


def prompt_maps(
    prompts: Sequence[Prompt], grid: Grid, *, sigma_mm: float, previous: npt.NDArray[np.float32] | None = None
) -> Tensor:
    """Paint prompts as (4, K, J, I): previous probability, positive clicks, negative clicks, box.

    Args:
        prompts: what was asked, in RAS mm. Of several boxes the last one counts; a mask prompt takes the place of the
            previous probability where there is none.
        grid: the patch.
        sigma_mm: width of a click (mm).
        previous: probability (K, J, I) of the last answer on this patch, or None at the first click.
    """
    sigma = sigma_mm / float(grid.spacing[0])
    maps = torch.zeros((4, *grid.shape))
    mask = previous if previous is not None else _mask_of(prompts, grid)
    if mask is not None:
        maps[0] = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))
    for channel, positive in ((1, True), (2, False)):
        points = _in_patch(click_points(prompts, positive=positive, step=float(grid.spacing[0])), grid)
        maps[channel] = gaussian_map(torch.from_numpy(points.astype(np.float32)), grid.shape, sigma)
    for prompt in prompts:
        if isinstance(prompt, Box):
            maps[3] = torch.from_numpy(_inside_box(prompt, grid).astype(np.float32))
    return maps


def click_points(prompts: Sequence[Prompt], *, positive: bool, step: float) -> Points:
    """Return all places (N, 3) RAS mm that prompts of one sign mark; lines and areas are sampled every `step` mm."""
    found: list[Points] = []
    for prompt in prompts:
        if isinstance(prompt, Point) and prompt.positive == positive:
            found.append(np.array([prompt.ras]))
        elif isinstance(prompt, Scribble) and prompt.positive == positive:
            found.append(along(prompt.points, step))
        elif isinstance(prompt, Lasso) and prompt.positive == positive:
            found.append(within(prompt.points, 2 * step))
    return np.concatenate(found) if found else np.zeros((0, 3))


def _in_patch(ras: Points, grid: Grid) -> Points:
    """Return voxel places (N, 3) in the order K, J, I of those points that lie in the patch."""
    ijk = grid.to_ijk(ras)
    keep = ((ijk >= -0.5) & (ijk <= np.array(grid.shape[::-1]) - 0.5)).all(axis=1)
    return np.asarray(ijk[keep][:, ::-1])


def _inside_box(box: Box, grid: Grid) -> npt.NDArray[np.bool_]:
    """Mark the voxels (K, J, I) whose centre lies in a box; one thinner than a voxel (drawn in a slice) counts too."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    ras = grid.to_ras(np.stack([i, j, k], axis=-1))
    low, high = np.array(box.corner_a), np.array(box.corner_b)
    widen = np.maximum(grid.spacing.max() - (high - low), 0) / 2
    return np.asarray(((ras >= low - widen) & (ras <= high + widen)).all(axis=-1))


def _mask_of(prompts: Sequence[Prompt], grid: Grid) -> npt.NDArray[np.float32] | None:
    """Return the last mask prompt's probability on the patch, or None without one."""
    for prompt in reversed(prompts):
        if isinstance(prompt, MaskPrompt):
            return np.asarray(sample(prompt.mask, prompt.grid, grid, fill=0.0), dtype=np.float32)
    return None
