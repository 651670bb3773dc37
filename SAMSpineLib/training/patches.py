"""Training patches: where to look, what was marked there, and how a scanner or a patient could have differed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.ct_sam3d.config import CTSAM3DConfig
from SAMSpineLib.models.intensity import normalise
from SAMSpineLib.resampling import AIR_HU, sample
from SAMSpineLib.training.cases import Case, Structure
from SAMSpineLib.volume import Grid, slices_of

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
BoolMask = npt.NDArray[np.bool_]

# How often a structure of each kind is the target; what a case lacks is shared among the rest.
KIND_WEIGHTS = {"vertebra": 0.79, "sacrum": 0.10, "disc": 0.04, "canal": 0.03, "other": 0.04}
SMALLEST_TARGET = 40
ARTHROSIS = 0.3
DRAWS = 50


@dataclass(frozen=True, eq=False)
class Patch:
    """One patch (K, J, I) with the masks of the structure aimed at (`part`) and of the whole it belongs to.

    `grid` is where the patch lies in the source, rotated and scaled by augmentation; `aim` is a place inside the
    structure, as continuous voxel (I, J, K) of the patch.
    """

    image: Image = field(repr=False)
    part: Mask = field(repr=False)
    whole: Mask = field(repr=False)
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
        self._spine = np.array(
            [row.value for row in table if _kind(row.group) in ("vertebra", "sacrum")], dtype=np.int16
        )
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
            if patch.part.sum() >= SMALLEST_TARGET:
                return patch
        if not patch.part.any():
            msg = (
                f"None of {DRAWS} patches shows its structure (the last one: value {patch.value} of "
                f"'{patch.case.image.name}'): leave out structures smaller than a voxel of {self.config.spacing} mm"
            )
            raise LabelError(msg)
        return patch

    def neighbour(self, patch: Patch, step: npt.NDArray[np.integer]) -> tuple[Image, Mask, Mask]:
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
        grid = _augmented_grid(centre, self.config, rng)
        part, whole = self._masks(case, structure.value, grid)
        image = self._image(case, grid)
        if rng.random() < ARTHROSIS:
            image = _arthrotic(image, part > 0, whole > 0, rng)
        image = _scanned_otherwise(image, rng)
        ijk = np.clip(grid.to_ijk(aim), 0, self.config.patch - 1)
        return Patch(normalise(image, self.config.window), part, whole, grid, ijk, case, structure.value)

    def _image(self, case: Case, grid: Grid) -> Image:
        return np.asarray(sample(case.image.array, case.image.grid, grid, fill=AIR_HU), dtype=np.float32)

    def _masks(self, case: Case, value: int, grid: Grid) -> tuple[Mask, Mask]:
        extent = case.image.grid.extent_of(grid)
        if extent is None:
            empty = np.zeros(grid.shape, np.uint8)
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
        masks = [
            (sample(mask.astype(np.float32), place, grid, fill=0.0) > 0.5).astype(np.uint8)
            for mask in (labels == value, whole)
        ]
        return masks[0], masks[1]


def _kind(group: str) -> str:
    group = group.removesuffix(" variant")
    if group.startswith(("cervical", "thoracic", "lumbar")):
        return "vertebra"
    if group.startswith(("sacr", "coccy")):
        return "sacrum"
    return {"disc": "disc", "canal": "canal"}.get(group, "other")


def _augmented_grid(centre: npt.NDArray[np.float64], config: CTSAM3DConfig, rng: np.random.Generator) -> Grid:
    """Return a patch grid around `centre` (RAS mm), turned by up to 20 degrees, scaled and now and then mirrored."""
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.normal(0, 9))).as_matrix()
    scale = np.exp(rng.uniform(-0.25, 0.2)) * np.exp(rng.normal(0, 0.05, 3))
    if rng.random() < 0.5:
        scale[0] = -scale[0]
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(config.spacing * scale)
    matrix[:3, 3] = centre - matrix[:3, :3] @ np.full(3, config.patch // 2)
    return Grid((config.patch,) * 3, matrix)


def _arthrotic(image: Image, part: BoolMask, whole: BoolMask, rng: np.random.Generator) -> Image:
    """Close some of the gaps (HU) between a structure and its neighbours with new bone, as worn facet joints do.

    Which vertebra a process belongs to must then be read off its shape: the joint space no longer tells.
    """
    reach = int(rng.integers(1, 3))
    touching = ndimage.binary_dilation(part, iterations=reach)
    touching &= ndimage.binary_dilation(whole & ~part, iterations=reach)
    if not touching.any():
        return image
    grown = touching & (ndimage.gaussian_filter(rng.normal(size=image.shape), 2.5) > 0)
    bone = (rng.uniform(300, 900) + rng.normal(0, 120, image.shape)).astype(np.float32)
    joined: Image = ndimage.gaussian_filter(np.where(grown, np.maximum(image, bone), image), 0.45).astype(np.float32)
    return joined


def _scanned_otherwise(image: Image, rng: np.random.Generator) -> Image:
    """Change HU as another scanner, kernel or patient would: contrast, offset, blur, noise, thick slices."""
    image = image.copy()
    if rng.random() < 0.7:
        bone = np.maximum(image - 80, 0)
        image += bone * rng.uniform(-0.4, 0.5) + rng.normal(0, 25)
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.9))
    elif rng.random() < 0.3:
        image += rng.uniform(0.3, 1.2) * (image - ndimage.gaussian_filter(image, 1.0))
    if rng.random() < 0.25:
        sigmas = np.zeros(3)
        sigmas[int(rng.integers(3))] = rng.uniform(0.5, 1.3)
        image = ndimage.gaussian_filter(image, sigmas)
    if rng.random() < 0.6:
        noise = rng.normal(0, 1, image.shape).astype(np.float32)
        if rng.random() < 0.5:
            noise = ndimage.gaussian_filter(noise, 0.7) * 2.5
        image += noise * rng.uniform(5, 60)
    if rng.random() < 0.12:
        _crop_field_of_view(image, rng)
    return image


def _crop_field_of_view(image: Image, rng: np.random.Generator) -> None:
    """Blank one side of the patch, as at the border of a scan."""
    axis, size = int(rng.integers(3)), image.shape[0]
    cut = int(rng.integers(1, size // 4))
    side: list[slice] = [slice(None)] * 3
    side[axis] = slice(0, cut) if rng.random() < 0.5 else slice(size - cut, None)
    image[tuple(side)] = AIR_HU
