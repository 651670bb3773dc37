"""Training patches: where to look, and what was marked there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.ct_sam3d.config import CTSAM3DConfig
from SAMSpineLib.models.intensity import normalise
from SAMSpineLib.resampling import AIR_HU, sample
from SAMSpineLib.training.annotators import Hand, Share
from SAMSpineLib.training.augmentation import (
    Image,
    arthrotic,
    augmented_grid,
    bent,
    bright_discs,
    scanned_otherwise,
    with_spurs,
)
from SAMSpineLib.training.cases import Case, Structure
from SAMSpineLib.volume import Grid, slices_of

# How often a structure of each kind is the target; what a case lacks is shared among the rest.
KIND_WEIGHTS = {
    "cervical": 0.14,
    "thoracic": 0.27,
    "lumbar": 0.38,
    "sacrum": 0.10,
    "disc": 0.04,
    "canal": 0.03,
    "other": 0.04,
}
SPINE_KINDS = ("cervical", "thoracic", "lumbar", "sacrum")
SMALLEST_TARGET = 40
SPURS = 0.25
BRIGHT_DISCS = 0.15
ARTHROSIS = 0.3
OTHER_HANDS = 0.75
OTHER_BONES = 0.5
DRAWS = 50


@dataclass(frozen=True, eq=False)
class Patch:
    """One patch (K, J, I) with the structure aimed at (`part`) and the whole it belongs to, as shares of voxels (0..1).

    `grid` is where the patch lies in the source, rotated and scaled by augmentation; `aim` is a place inside the
    structure, as continuous voxel (I, J, K) of the patch.
    """

    image: Image = field(repr=False)
    part: Share = field(repr=False)
    whole: Share = field(repr=False)
    grid: Grid
    aim: npt.NDArray[np.float64]
    case: Case = field(repr=False)
    value: int


class PatchSampler:
    """Draw random patches from cases; every draw takes its randomness from the generator it is given."""

    def __init__(self, cases: Sequence[Case], config: CTSAM3DConfig) -> None:
        """Sort the structures of all cases by kind."""
        self.cases = cases
        self.config = config
        weights = np.array([case.weight for case in cases])
        self._odds = weights / weights.sum()
        table = spine_labels()
        self._spine = np.array([row.value for row in table if _kind(row.group) in SPINE_KINDS], dtype=np.int16)
        self._kinds = {row.value: _kind(row.group) for row in table}

    def draw(self, rng: np.random.Generator) -> Patch:
        """Return a patch that shows enough of its target.

        Raises:
            LabelError: if none of `DRAWS` patches shows any of its target.
        """
        for _ in range(DRAWS):
            case = self.cases[int(rng.choice(len(self.cases), p=self._odds))]
            structure = self._choose(case, rng)
            patch = self._cut(case, structure, rng)
            if (patch.part > 0.5).sum() >= SMALLEST_TARGET:
                return patch
        if not (patch.part > 0.5).any():
            msg = (
                f"None of {DRAWS} patches shows its structure (the last one: value {patch.value} of "
                f"'{patch.case.image.name}'): leave out structures smaller than a voxel of {self.config.spacing} mm"
            )
            raise LabelError(msg)
        return patch

    def neighbour(self, patch: Patch, step: npt.NDArray[np.integer]) -> tuple[Image, Share, Share]:
        """Cut the patch that lies `step` half-patches (I, J, K) beside another: image, part, whole."""
        matrix = patch.grid.ijk_to_ras.copy()
        matrix[:3, 3] = patch.grid.to_ras(step * (self.config.patch // 2))
        grid = Grid(patch.grid.shape, matrix)
        part, whole = self._masks(patch.case, patch.value, grid)
        return normalise(self._image(patch.case, grid), self.config.window), part, whole

    def _choose(self, case: Case, rng: np.random.Generator) -> Structure:
        kinds = [self._kinds.get(s.value, "other") for s in case.structures]
        odds = np.array([KIND_WEIGHTS[kind] / kinds.count(kind) for kind in kinds])
        return case.structures[int(rng.choice(len(kinds), p=odds / odds.sum()))]

    def _cut(self, case: Case, structure: Structure, rng: np.random.Generator) -> Patch:
        aim = structure.core if rng.random() < 0.5 else structure.places[int(rng.integers(len(structure.places)))]
        aim = aim + rng.normal(0, 1.5, 3)
        centre = aim + rng.normal(0, 3, 3)
        if rng.random() < 0.55:
            centre = structure.bounds.mean(axis=0) + rng.normal(0, 8, 3)
        grid = augmented_grid(centre, (self.config.patch,) * 3, self.config.spacing, rng)
        part, whole = self._masks(case, structure.value, grid)
        image = self._image(case, grid)
        if rng.random() < OTHER_BONES:
            image, part, whole = bent((image, part, whole), rng)
        if rng.random() < SPURS:
            image, part, whole = with_spurs(image, part, whole, rng)
        if rng.random() < BRIGHT_DISCS:
            image = bright_discs(image, part > 0.5, whole > 0.5, rng)
        if rng.random() < ARTHROSIS:
            image = arthrotic(image, part > 0.5, whole > 0.5, rng)
        if rng.random() < OTHER_HANDS:
            hand = Hand.draw(grid.shape, rng)
            part, whole = hand.redraw(part), hand.redraw(whole)
        image = scanned_otherwise(image, rng)
        ijk = np.clip(grid.to_ijk(aim), 0, self.config.patch - 1)
        return Patch(normalise(image, self.config.window), part, whole, grid, ijk, case, structure.value)

    def _image(self, case: Case, grid: Grid) -> Image:
        return np.asarray(sample(case.image.array, case.image.grid, grid, fill=AIR_HU), dtype=np.float32)

    def _masks(self, case: Case, value: int, grid: Grid) -> tuple[Share, Share]:
        extent = case.image.grid.extent_of(grid)
        if extent is None:
            empty = np.zeros(grid.shape, np.float32)
            return empty, empty
        # One voxel more on each side: interpolation at the rim needs it where source voxels are thick.
        ends = [
            (max(a - 1, 0), min(b + 1, n - 1))
            for a, b, n in zip(extent[::2], extent[1::2], case.image.shape[::-1], strict=True)
        ]
        extent = (*ends[0], *ends[1], *ends[2])
        labels, place = case.labels[slices_of(extent)], case.image.grid.crop(extent)
        whole = np.isin(labels, self._spine) if np.isin(value, self._spine) else labels == value
        if self._kinds.get(value) == "disc":
            whole = (labels > 100) & (labels < 200)
        part = sample((labels == value).astype(np.float32), place, grid, fill=0.0)
        return part, sample(whole.astype(np.float32), place, grid, fill=0.0)


def _kind(group: str) -> str:
    group = group.removesuffix(" variant")
    for region in ("cervical", "thoracic", "lumbar"):
        if group.startswith(region):
            return region
    if group.startswith(("sacr", "coccy")):
        return "sacrum"
    return {"disc": "disc", "canal": "canal"}.get(group, "other")
