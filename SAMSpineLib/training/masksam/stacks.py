"""Stacks of slices to learn from: a few that lie beside each other in a case, and what is marked on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from SAMSpineLib.models.intensity import normalise
from SAMSpineLib.models.masksam.prompter import MASK_STRIDE
from SAMSpineLib.models.sam.channels import BONE_HU
from SAMSpineLib.prompts import Ras
from SAMSpineLib.resampling import AIR_HU, sample, sample_labels
from SAMSpineLib.stack import Stack, own_stack
from SAMSpineLib.training.augmentation import in_other_contrast, scanned_otherwise
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.localiser_targets import level_kinds
from SAMSpineLib.volume import Grid

# Truth is read so many times finer than a mask.
FINER = 2
# A structure is in a stack from so many of the mask's values on.
SMALLEST = 6
BESIDE_THE_SPINE = 0.1
OTHER_CONTRAST = 0.3
TURN = 6.0  # degrees, about any axis
# Logarithms of how much of a slice is shown along either side, and how far slices lie apart, relative to the usual.
LOG_FIELD = (-0.6, 0.1)
LOG_SPREAD = (-0.5, 0.5)


@dataclass(frozen=True, eq=False)
class ShownStack:
    """A stack of D slices as it is shown to the network.

    Attributes:
        pictures: (D, S, S) grey values 0..255.
        kinds: (G,) which structures are there, as indices of `LEVEL_VALUES`.
        shares: (G, D, S/4, S/4) the share (0..1) of each of the mask's values that a structure fills.
    """

    pictures: npt.NDArray[np.float32] = field(repr=False)
    kinds: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32] = field(repr=False)


class StackSampler:
    """Draw random stacks from cases; every draw takes its randomness from the generator it is given."""

    def __init__(self, cases: Sequence[Case], side: int, apart: float, normal: Ras) -> None:
        """Prepare the cases.

        Args:
            cases: whose vertebrae and sacra are to be learnt.
            side: of the network's image (pixels).
            apart: usual distance (mm) of slices.
            normal: which way they face (RAS).
        """
        self.cases, self.side, self.apart, self.normal = cases, side, apart, normal
        weights = np.array([case.weight for case in cases])
        self._odds = weights / weights.sum()
        self._kinds = level_kinds()

    def draw(self, rng: np.random.Generator, depth: int) -> ShownStack:
        """Return a stack of some depth through the spine, now and then beside it."""
        case = self.cases[int(rng.choice(len(self.cases), p=self._odds))]
        stack = self._stack(case, rng, depth)
        grid = stack.block(0, depth, (self.side, self.side))
        pictures = pictured(case, grid, rng)
        side = self.side // MASK_STRIDE * FINER
        marked = sample_labels(case.labels, case.image.grid, stack.block(0, depth, (side, side)))
        kinds, shares = shares_of(self._kinds[np.minimum(marked, len(self._kinds) - 1)])
        return ShownStack(pictures, kinds, shares)

    def _stack(self, case: Case, rng: np.random.Generator, depth: int) -> Stack:
        """Return the slices of a stack: of all of the volume's width, or a part, turned a little."""
        whole = own_stack(case.image.grid, self.normal)
        axis = rng.normal(size=3)
        turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(0, TURN))).as_matrix()
        field_of_view = np.exp(rng.uniform(*LOG_FIELD, size=2))
        right, down = turn @ whole.right * field_of_view[0], turn @ whole.down * field_of_view[1]
        step = turn @ whole.step / np.linalg.norm(whole.step) * self.apart * np.exp(rng.uniform(*LOG_SPREAD))
        if rng.random() < 0.5:
            step = -step
        aim = self._aim(case, rng)
        away, centre = rng.uniform(-0.5, 0.5, 2), _centre(case)
        middle = centre + (aim - centre) @ step / (step @ step) * step
        middle = middle + away[0] * (whole.right - right) + away[1] * (whole.down - down)
        return replace(whole, count=depth, middle=middle - step * (depth - 1) / 2, right=right, down=down, step=step)

    def _aim(self, case: Case, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return a place (RAS mm) that the stack's middle slice goes through."""
        if rng.random() < BESIDE_THE_SPINE:
            return case.image.grid.to_ras(rng.random(3) * np.array(case.image.shape[::-1]))
        spine = [one for one in case.structures if one.value < len(self._kinds) - 1 and self._kinds[one.value] >= 0]
        chosen = spine or list(case.structures)
        places = chosen[int(rng.integers(len(chosen)))].places
        return np.asarray(places[int(rng.integers(len(places)))])


def pictured(case: Case, grid: Grid, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return grey values 0..255 (D, H, W) of a CT on a grid, as another scanner, or another modality, would show it."""
    image = np.asarray(sample(case.image.array, case.image.grid, grid, fill=AIR_HU), np.float32)
    shown = normalise(scanned_otherwise(image, rng), BONE_HU)
    if rng.random() < OTHER_CONTRAST:
        shown = in_other_contrast(shown, rng)
    return (shown + 1) * np.float32(127.5)


def shares_of(marked: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return which structures are marked, and the shares that they fill of values twice as coarse.

    Args:
        marked: (D, 2 h, 2 w) indices of `LEVEL_VALUES`, -1 where none is.
    """
    counts = np.bincount(marked[marked >= 0].ravel(), minlength=1)
    kinds = np.flatnonzero(counts >= SMALLEST * FINER**2)
    depth, height, width = marked.shape
    cells = marked.reshape(depth, height // FINER, FINER, width // FINER, FINER)
    shares = [(cells == kind).mean(axis=(2, 4), dtype=np.float32) for kind in kinds]
    empty = np.zeros((0, depth, height // FINER, width // FINER), np.float32)
    return kinds.astype(np.int64), np.stack(shares) if shares else empty


def _centre(case: Case) -> npt.NDArray[np.float64]:
    """Return the middle (RAS mm) of a case's volume."""
    return case.image.grid.to_ras((np.array(case.image.shape[::-1]) - 1) / 2)
