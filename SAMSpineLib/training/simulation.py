"""A user for the network in training: first prompts, then corrections where the answer is most wrong.

Source: the protocol of interactive segmentation that CT-SAM3D follows (first click, then clicks in the largest error
with the previous probability fed back), with more kinds of first prompt than the release knows and with wrong previous
masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from SAMSpineLib.evaluation.robot import Placement, next_click
from SAMSpineLib.models.ct_sam3d.config import CTSAM3DConfig
from SAMSpineLib.models.ct_sam3d.prompt_maps import prompt_maps
from SAMSpineLib.prompts import Box, Point, Prompt, Ras, Scribble
from SAMSpineLib.training.patches import Patch
from SAMSpineLib.volume import Grid

Image = npt.NDArray[np.float32]
# A correction is expected to be answered this far around it.
CORRECTION_MM = 12.0
START_ODDS = {"click": 0.66, "box": 0.08, "box and click": 0.04, "scribble": 0.07, "mask": 0.15}


@dataclass
class SimulatedUser:
    """One user in front of one patch who wants the part, or the whole, segmented."""

    patch: Patch = field(repr=False)
    wants_whole: bool
    config: CTSAM3DConfig
    rng: np.random.Generator = field(repr=False)
    prompts: list[Prompt] = field(default_factory=list)
    previous: Image | None = field(default=None, repr=False)
    corrections: list[Ras] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the first prompt."""
        n = self.config.patch
        # The patch has a frame of its own: augmentation has turned and stretched it in the source.
        self._grid = Grid.centred_on((0, 0, 0), shape=(n, n, n), spacing=self.config.spacing)
        self._start(str(self.rng.choice(list(START_ODDS), p=list(START_ODDS.values()))))

    @property
    def truth(self) -> npt.NDArray[np.bool_]:
        """What this user wants marked (K, J, I)."""
        return (self.patch.whole if self.wants_whole else self.patch.part) > 0.5

    @property
    def part(self) -> npt.NDArray[np.bool_]:
        """The structure that this user's first prompt is meant for (K, J, I)."""
        return self.patch.part > 0.5

    def maps(self) -> Tensor:
        """Return the prompt maps (4, K, J, I) of all that was said so far."""
        return prompt_maps(self.prompts, self._grid, sigma_mm=self.config.click_sigma_mm, previous=self.previous)

    def around_corrections(self) -> npt.NDArray[np.bool_]:
        """Mark what lies within `CORRECTION_MM` of a correction (K, J, I)."""
        near = np.zeros(self._grid.shape, bool)
        axes = [np.arange(n) for n in self._grid.shape]
        for place in self.corrections:
            k, j, i = (axis - at for axis, at in zip(axes, self._grid.to_ijk(place)[::-1], strict=True))
            away = i**2 + j[:, None] ** 2 + k[:, None, None] ** 2
            near |= away * self.config.spacing**2 < CORRECTION_MM**2
        return near

    def correct(self, probability: Image) -> None:
        """Look at the answer (K, J, I) and click where it is most wrong."""
        self.previous = probability
        placement: Placement = "deepest" if self.rng.random() < 0.6 else "random"
        click = next_click(self.truth, probability > 0.5, self._grid, rng=self.rng, placement=placement)
        if click is not None:
            self.prompts.append(click)
            self.corrections.append(click.ras)

    def _start(self, how: str) -> None:
        if how.startswith("box"):
            self.prompts.append(self._box())
        if how == "scribble":
            self.prompts.append(self._scribble())
        if how == "mask":
            self.previous = _wrong_mask(self.truth, self.rng)
        if how in {"click", "box and click"}:
            self.prompts.append(self._first_click())
        elif how == "mask" and self.rng.random() < 0.6:
            self.correct(self.previous if self.previous is not None else np.zeros(self._grid.shape, np.float32))

    def _first_click(self) -> Prompt:
        k, j, i = np.round(self.patch.aim[::-1]).astype(int)
        if self.part[k, j, i] and (self.wants_whole or self.rng.random() < 0.7):
            x, y, z = self._grid.to_ras(self.patch.aim).tolist()
            return Point((x, y, z))
        click = next_click(self.part, np.zeros_like(self.truth), self._grid, rng=self.rng)
        return click if click is not None else Point((0.0, 0.0, 0.0))

    def _box(self) -> Prompt:
        kji = np.argwhere(self.truth)
        ends = np.stack([kji.min(axis=0), kji.max(axis=0)])[:, ::-1] + self.rng.normal(0, 1.2, (2, 3))
        (a, b, c), (d, e, f) = self._grid.to_ras(ends).tolist()
        return Box((a, b, c), (d, e, f))

    def _scribble(self) -> Prompt:
        kji = np.argwhere(self.part)
        ends = kji[self.rng.integers(len(kji), size=3)][:, ::-1]
        near = ends[0] + (ends - ends[0]) * 0.4
        inside = [tuple(p) for p in self._grid.to_ras(near).tolist()]
        return Scribble(tuple((x, y, z) for x, y, z in inside))


def _wrong_mask(truth: npt.NDArray[np.bool_], rng: np.random.Generator) -> Image:
    """Return a previous mask as other tools, other patches or the last answer would leave it."""
    how = int(rng.integers(4))
    mask = truth
    if how == 0:
        mask = ndimage.binary_dilation(mask, iterations=int(rng.integers(1, 4)))
    elif how == 1:
        mask = ndimage.binary_erosion(mask, iterations=int(rng.integers(1, 3)))
    elif how == 2:
        mask = ndimage.shift(mask.astype(np.float32), rng.normal(0, 3, 3), order=1) > 0.5
    else:  # only the half that a neighbouring patch has already seen
        axis, size = int(rng.integers(3)), truth.shape[0]
        seen = np.arange(size) < size // 2
        mask = mask & (seen if rng.random() < 0.5 else ~seen).reshape([-1 if a == axis else 1 for a in range(3)])
    soft: Image = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.3, 1.0))
    return soft


def stack_maps(users: Sequence[SimulatedUser]) -> Tensor:
    """Return the prompt maps of several users as one batch (B, 4, K, J, I)."""
    return torch.stack([user.maps() for user in users])
