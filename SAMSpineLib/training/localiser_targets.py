"""What the localiser shall say of a labelled patch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.volume import Grid

Field = npt.NDArray[np.float32]
Centres = Mapping[int, npt.NDArray[np.float64]]

HEAT_SIGMA_MM = 6.0
SACRUM, COCCYX = 26, 27

# A level that few people have is taught as the neighbour that it looks like; the coccyx as part of the sacrum.
TAUGHT_AS = {28: 19, 25: 24, COCCYX: SACRUM}
IGNORED = -1


@dataclass(frozen=True, eq=False)
class LocaliserTarget:
    """Truth on one patch: bone (K, J, I), heat (K, J, I), offsets (3, K, J, I) in mm along I, J, K of the patch.

    `vertebrae` (K, J, I) marks where offsets mean something; `levels` (K/2, J/2, I/2) are indices into `LEVEL_VALUES`,
    `IGNORED` where there is no spine. `ribs` (K, J, I) marks ribs; None where nobody labelled them.
    """

    bone: npt.NDArray[np.bool_] = field(repr=False)
    heat: Field = field(repr=False)
    offsets: Field = field(repr=False)
    vertebrae: npt.NDArray[np.bool_] = field(repr=False)
    levels: npt.NDArray[np.int64] = field(repr=False)
    ribs: npt.NDArray[np.bool_] | None = field(default=None, repr=False)


def level_kinds() -> npt.NDArray[np.int64]:
    """Return which of `LEVEL_VALUES` each label value is taught as, -1 for none; the last one is for all above."""
    lookup = np.full(max(*LEVEL_VALUES, *TAUGHT_AS) + 2, -1, np.int64)
    lookup[list(LEVEL_VALUES)] = np.arange(len(LEVEL_VALUES))
    for value, stand_in in TAUGHT_AS.items():
        lookup[value] = lookup[stand_in]
    return lookup


def vertebra_centre(mask: npt.NDArray[np.bool_], spacing: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the centre (I, J, K; continuous voxels) of a vertebra's mask (K, J, I) with `spacing` along I, J, K (mm).

    The mean place of its voxels, weighted by the fourth power of their depth: it lies in the vertebral body, where
    bone is deepest, and for the ring of C1 in the canal.
    """
    sampling = np.asarray(spacing, dtype=float)[::-1]
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=sampling)[1:-1, 1:-1, 1:-1]
    kji = np.array(ndimage.center_of_mass(depth**4))
    return kji[::-1]


def localiser_target(labels: npt.NDArray[np.integer], grid: Grid, centres: Centres) -> LocaliserTarget:
    """Return what shall be said of a label map (K, J, I; our values) on an isotropic patch.

    Args:
        labels: vertebrae, sacrum and coccyx; every other value counts as background.
        grid: where the patch lies; it may be turned and mirrored.
        centres: the centre (RAS mm) of each vertebra value that a label map may hold.
    """
    taught = labels.astype(np.int64)
    for value, stand_in in TAUGHT_AS.items():
        taught[labels == value] = stand_in
    bone = np.isin(taught, LEVEL_VALUES)
    lookup = np.full(int(max(taught.max(), *LEVEL_VALUES)) + 1, IGNORED, dtype=np.int64)
    lookup[list(LEVEL_VALUES)] = np.arange(len(LEVEL_VALUES))
    levels = lookup[taught[::2, ::2, ::2]]
    k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in labels.shape), indexing="ij", sparse=True)
    heat = np.zeros(labels.shape, np.float32)
    offsets = np.zeros((3, *labels.shape), np.float32)
    vertebrae = np.zeros(labels.shape, bool)
    size = float(grid.spacing.mean())
    for value, centre in centres.items():
        ijk = grid.to_ijk(centre)
        way = [np.float32(c) - axis for c, axis in zip(ijk, (i, j, k), strict=True)]
        distance = (way[0] ** 2 + way[1] ** 2 + way[2] ** 2) * size**2
        np.maximum(heat, np.exp(-distance / (2 * HEAT_SIGMA_MM**2)), out=heat)
        mine = labels == value
        vertebrae |= mine
        for axis in range(3):
            offsets[axis][mine] = size * np.broadcast_to(way[axis], labels.shape)[mine]
    return LocaliserTarget(bone, heat, offsets, vertebrae, levels)
