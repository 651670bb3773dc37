"""A user for Segment Anything in training: a first click, box or mask, then clicks where the answer is most wrong.

Source: the interactive protocol of SAM (Kirillov et al., arXiv 2304.02643, appendix A) with its errors of hand: boxes
that are up to a tenth of their side off, clicks anywhere in the error and not only in its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from SAMSpineLib.evaluation.robot import Placement, next_click
from SAMSpineLib.training.slices import Slice
from SAMSpineLib.volume import Grid

# The labels of points as SAM's prompt encoder knows them.
PADDING, NEGATIVE, POSITIVE, BOX_START, BOX_END = -1, 0, 1, 2, 3
START_ODDS = {"click": 0.55, "box": 0.3, "mask": 0.15}
BOX_ERROR = 0.1
BOX_ERROR_PIXELS = 8.0


@dataclass
class SliceUser:
    """One user in front of one slice. `mask` (H, W) is a mask that is there before the first prompt, 0 or 1."""

    shown: Slice = field(repr=False)
    rng: np.random.Generator = field(repr=False)
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    mask: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Make the first prompt."""
        self._truth = (self.shown.target > 0.5)[None]
        self._grid = Grid(self._truth.shape, np.eye(4))
        how = str(self.rng.choice(list(START_ODDS), p=list(START_ODDS.values())))
        if how == "box":
            self._box()
        elif how == "mask":
            self.mask = _wrong_mask(self._truth[0], self.rng)
        if how == "click" or (how == "mask" and self.rng.random() < 0.3):
            self.correct(np.zeros_like(self._truth[0]) if self.mask is None else self.mask > 0)

    @property
    def is_ambiguous(self) -> bool:
        """Tell whether what was said may mean several things: a single point and no mask."""
        return len(self.points) == 1 and self.mask is None

    def correct(self, answer: np.ndarray) -> None:
        """Click where an answer (H, W) is most wrong."""
        placement: Placement = "deepest" if self.rng.random() < 0.5 else "random"
        click = next_click(self._truth, answer[None], self._grid, rng=self.rng, placement=placement)
        if click is not None:
            i, j, _ = self._grid.to_ijk(click.ras)
            self.points.append((float(i) + 0.5, float(j) + 0.5))
            self.labels.append(POSITIVE if click.positive else NEGATIVE)

    def _box(self) -> None:
        rows, columns = (np.flatnonzero(self._truth[0].any(axis=axis)) for axis in (1, 0))
        low, high = np.array([columns[0], rows[0]], float), np.array([columns[-1] + 1, rows[-1] + 1], float)
        off = np.minimum((high - low) * BOX_ERROR, BOX_ERROR_PIXELS)
        for corner, label in ((low, BOX_START), (high, BOX_END)):
            x, y = corner + self.rng.normal(0, 1, 2) * off
            self.points.append((float(x), float(y)))
            self.labels.append(label)


def prompts_of(users: Sequence[SliceUser]) -> tuple[Tensor, Tensor]:
    """Return points (B, P, 2; x, y in pixels of the slice) and labels (B, P) of users, padded to the same number."""
    most = max(1, *(len(user.points) for user in users))
    points = torch.zeros(len(users), most, 2)
    labels = torch.full((len(users), most), PADDING, dtype=torch.int32)
    for row, user in enumerate(users):
        if user.points:
            points[row, : len(user.points)] = torch.tensor(user.points)
            labels[row, : len(user.labels)] = torch.tensor(user.labels, dtype=torch.int32)
    return points, labels


def _wrong_mask(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a mask as an atlas, a neighbouring slice or another tool would leave it."""
    how = int(rng.integers(3))
    if how == 0:
        mask = ndimage.binary_dilation(truth, iterations=int(rng.integers(1, 6)))
    elif how == 1:
        mask = ndimage.binary_erosion(truth, iterations=int(rng.integers(1, 4)))
    else:
        mask = ndimage.shift(truth.astype(np.float32), rng.normal(0, 5, 2), order=1) > 0.5
    return (mask if mask.any() else truth).astype(np.float32)
