"""Answers on overlapping patches become one probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from SAMSpineLib.models.protocols import Probability
from SAMSpineLib.volume import Grid

# A patch that a human has clicked into outvotes, where they overlap, one that was only visited on a walk.
PROMPTED_WEIGHT = 1000.0


@dataclass(frozen=True, eq=False)
class PatchAnswer:
    """What a network said on one patch, and whether a human prompted there."""

    grid: Grid
    probability: Probability = field(repr=False)
    prompted: bool
    quality: float = 1.0


def merge(answers: Sequence[PatchAnswer], target: Grid | None = None) -> tuple[Probability, Grid]:
    """Put answers together on their common lattice.

    Each answer counts by its distance from its patch's border, so that no seam shows. Where only border voxels know of
    a place they still decide it; where nobody does, the probability is 0.

    Args:
        answers: at least one; all on one lattice (same axes and spacing, offsets of whole voxels).
        target: the grid of the result, on that lattice; by default the bounding box of all patches.

    Returns:
        Probability (K, J, I) and its grid.
    """
    grid = target if target is not None else _union([answer.grid for answer in answers])
    total = np.zeros(grid.shape, np.float32)
    weights = np.zeros(grid.shape, np.float32)
    for answer in answers:
        here, there = _overlap(grid, answer.grid)
        if here is None or there is None:
            continue
        weight = _border_distance(answer.grid.shape)[there] * np.float32(PROMPTED_WEIGHT if answer.prompted else 1.0)
        total[here] += weight * answer.probability[there]
        weights[here] += weight
    total /= np.maximum(weights, np.float32(1e-6))
    return total, grid


def covered(answers: Sequence[PatchAnswer], target: Grid) -> npt.NDArray[np.bool_]:
    """Mark the voxels (K, J, I) of a grid that some answer speaks of."""
    seen = np.zeros(target.shape, bool)
    for answer in answers:
        here, _ = _overlap(target, answer.grid)
        if here is not None:
            seen[here] = True
    return seen


@lru_cache(maxsize=4)
def _border_distance(shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Return the distance (voxels, from 1) of each voxel to the nearest face, squared so that centres dominate."""
    k, j, i = (np.minimum(np.arange(n), np.arange(n)[::-1]).astype(np.float32) + 1 for n in shape)
    nearest: npt.NDArray[np.float32] = np.minimum(np.minimum(k[:, None, None], j[None, :, None]), i[None, None, :])
    nearest **= 2
    nearest.flags.writeable = False
    return nearest


def _offset(grid: Grid, other: Grid) -> npt.NDArray[np.int_]:
    """Return the voxel (K, J, I) of `grid` at which `other` begins."""
    return np.round(grid.to_ijk(other.ijk_to_ras[:3, 3]))[::-1].astype(int)


def _union(grids: Sequence[Grid]) -> Grid:
    first = grids[0]
    starts = np.array([_offset(first, grid) for grid in grids])
    ends = starts + np.array([grid.shape for grid in grids])
    low, high = starts.min(axis=0), ends.max(axis=0)
    matrix = first.ijk_to_ras.copy()
    matrix[:3, 3] = first.to_ras(low[::-1])
    k, j, i = (high - low).tolist()
    return Grid((k, j, i), matrix)


Slices = tuple[slice, slice, slice]


def _overlap(grid: Grid, other: Grid) -> tuple[Slices | None, Slices | None]:
    """Return the voxels that two grids of one lattice share, as slices of each; None where there are none."""
    offset = _offset(grid, other)
    low = np.maximum(offset, 0)
    high = np.minimum(offset + np.array(other.shape), np.array(grid.shape))
    if (low >= high).any():
        return None, None
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    c, b, a = (slice(int(s - o), int(e - o)) for s, e, o in zip(low, high, offset, strict=True))
    return (k, j, i), (c, b, a)
