"""Slices to learn from: a window through the spine, what is marked in it, and what atlases could say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.resampling import sample
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.localiser_targets import level_kinds
from SAMSpineLib.training.ma_sam.registered import RegisteredAtlases
from SAMSpineLib.training.masksam.stacks import pictured
from SAMSpineLib.training.slices import plane_through
from SAMSpineLib.volume import Grid, slices_of

# Least and largest size of a pixel, as shares of the usual one.
PIXEL_RANGE = (0.7, 1.35)


@dataclass(frozen=True, eq=False)
class PromptedSlice:
    """A slice as it is shown to the network, and its truth.

    Attributes:
        picture: (S, S) grey values 0..255.
        shares: (classes, S, S) how much (0..1) of each pixel is background, or a level.
        said: (K, S, S) the class that each of K atlases says.
    """

    picture: npt.NDArray[np.float32] = field(repr=False)
    shares: npt.NDArray[np.float32] = field(repr=False)
    said: npt.NDArray[np.uint8] = field(repr=False)


class PromptedSlices:
    """Draw random slices from cases; every draw takes its randomness from the generator it is given."""

    def __init__(self, cases: Sequence[Case], side: int, pixel: float, direction: str) -> None:
        """Look where the levels of all cases are.

        Args:
            cases: whose vertebrae and sacra are to be learnt.
            side: of the network's image (pixels).
            pixel: usual size of a pixel (mm).
            direction: in which slices are cut, one of `VIEWS`.
        """
        self.cases, self.side, self.direction = cases, side, direction
        self._pixel = (pixel * PIXEL_RANGE[0], pixel * PIXEL_RANGE[1])
        weights = np.array([case.weight for case in cases])
        self._odds = weights / weights.sum()
        self._lookup = (level_kinds() + 1).astype(np.uint8)
        self._atlases = RegisteredAtlases(cases, self._lookup)

    def draw(self, rng: np.random.Generator, atlases: int) -> PromptedSlice:
        """Return a slice through a level, with what so many atlases say."""
        number = int(rng.choice(len(self.cases), p=self._odds))
        case = self.cases[number]
        levels = [one for one in case.structures if self._lookup[min(one.value, len(self._lookup) - 1)]]
        aims = levels or list(case.structures)
        aim = aims[int(rng.integers(len(aims)))]
        grid = plane_through(aim, self.side, self.direction, self._pixel, rng)
        picture = pictured(case, grid, rng)[0]
        said = self._atlases.draw(number, grid, atlases, rng)
        return PromptedSlice(picture, class_shares(case, grid, self._lookup), said)


def class_shares(case: Case, grid: Grid, lookup: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return how much (0..1) of each pixel of a slice (1, H, W) is of each class: (classes, H, W).

    Args:
        case: whose labels are read.
        grid: of the slice.
        lookup: the class of each label value, 0 for background; the last one is for all values above.
    """
    shares = np.zeros((len(LEVEL_VALUES) + 1, *grid.shape[1:]), np.float32)
    own = case.image.grid
    reach = int(np.ceil(2 * own.spacing.max() / grid.spacing[2]))
    extent = own.extent_of(grid.crop((0, grid.shape[2] - 1, 0, grid.shape[1] - 1, -reach, reach)))
    if extent is not None:
        marked = lookup[np.minimum(case.labels[slices_of(extent)], len(lookup) - 1)]
        for kind in np.unique(marked[marked > 0]):
            shares[kind] = sample((marked == kind).view(np.uint8), own.crop(extent), grid, fill=0.0)[0]
    shares[0] = 1 - shares.sum(axis=0)
    return shares.clip(0, 1)
