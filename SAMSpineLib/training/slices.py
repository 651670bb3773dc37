"""Training slices: a plane through a case in any direction, in the look of any modality, and what was marked there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.models.intensity import normalise
from SAMSpineLib.resampling import AIR_HU, sample
from SAMSpineLib.training.augmentation import scanned_otherwise
from SAMSpineLib.training.cases import Case, Structure
from SAMSpineLib.training.slice_styles import Plane, as_magnetic_resonance, as_ultrasound, layers
from SAMSpineLib.volume import Grid

# What of a CT is shown, if the user chooses nothing else.
HOUNSFIELD = (-200.0, 1000.0)
SMALLEST_TARGET = 24
DRAWS = 50

# What a slice looks like: as the CT it is, as another modality would show it, or layers that no case has.
STYLES = {"ct": 0.5, "magnetic resonance": 0.32, "ultrasound": 0.08, "layers": 0.1}
# Bones first, but a user of Segment Anything clicks on anything.
KIND_WEIGHTS = {"bone": 0.62, "disc": 0.1, "canal": 0.08, "other": 0.2}
# A bone wanted together with its like: all vertebrae, all discs of a slice.
WHOLE = 0.1
# Least and largest size of a slice's pixels.
PIXELS_MM = (0.4, 1.15)
# Views: which patient axes a slice's rows (downwards) and columns (to the right) follow.
VIEWS = {
    "axial": ((0, -1, 0), (-1, 0, 0)),
    "sagittal": ((0, 0, -1), (0, -1, 0)),
    "coronal": ((0, 0, -1), (-1, 0, 0)),
}


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice: intensities (H, W; -1..1) and the share of each pixel (0..1) that the target fills."""

    image: Plane = field(repr=False)
    target: Plane = field(repr=False)


class SliceSampler:
    """Draw random slices from cases; every draw takes its randomness from the generator it is given."""

    def __init__(self, cases: Sequence[Case], side: int) -> None:
        """Sort the structures of all cases by kind; `side` is that of a slice in pixels."""
        self.cases = cases
        self.side = side
        weights = np.array([case.weight for case in cases])
        self._odds = weights / weights.sum()
        self._kinds = {row.value: _kind(row.group) for row in spine_labels()}

    def draw(self, rng: np.random.Generator) -> Slice:
        """Return a slice that shows enough of its target.

        Raises:
            LabelError: if none of `DRAWS` slices shows any of its target.
        """
        style = str(rng.choice(list(STYLES), p=list(STYLES.values())))
        if style == "layers":
            return Slice(*layers(self.side, rng))
        for _ in range(DRAWS):
            case = self.cases[int(rng.choice(len(self.cases), p=self._odds))]
            structure = self._choose(case, rng)
            grid = plane_through(structure, self.side, str(rng.choice(list(VIEWS))), PIXELS_MM, rng)
            target = self._target(case, structure.value, grid, rng)
            if (target > 0.5).sum() >= SMALLEST_TARGET:
                return Slice(self._image(case, grid, style, rng), target)
        msg = f"None of {DRAWS} slices shows its structure: leave out structures of a few voxels"
        raise LabelError(msg)

    def _choose(self, case: Case, rng: np.random.Generator) -> Structure:
        kinds = [self._kinds.get(one.value, "other") for one in case.structures]
        odds = np.array([KIND_WEIGHTS[kind] / kinds.count(kind) for kind in kinds])
        return case.structures[int(rng.choice(len(kinds), p=odds / odds.sum()))]

    def _target(self, case: Case, value: int, grid: Grid, rng: np.random.Generator) -> Plane:
        """Return the share of each pixel that the structure fills, now and then with all of its kind."""
        values = [value]
        kind = self._kinds.get(value, "other")
        if kind in {"bone", "disc"} and rng.random() < WHOLE:
            values = [one.value for one in case.structures if self._kinds.get(one.value) == kind]
        marked = np.isin(case.labels, values) if len(values) > 1 else case.labels == value
        share: Plane = sample(marked.view(np.uint8), case.image.grid, grid, fill=0.0)[0]
        return share

    def _image(self, case: Case, grid: Grid, style: str, rng: np.random.Generator) -> Plane:
        voxels = np.asarray(sample(case.image.array, case.image.grid, grid, fill=AIR_HU), dtype=np.float32)
        low, high = HOUNSFIELD
        if style == "ct" and rng.random() < 0.3:  # users look through other windows too
            low, high = low + rng.uniform(-300, 150), high + rng.uniform(-600, 800)
        plane: Plane = normalise(scanned_otherwise(voxels, rng), (low, high))[0]
        if style == "magnetic resonance":
            return as_magnetic_resonance(plane, rng)
        return as_ultrasound(plane, rng) if style == "ultrasound" else plane


def plane_through(
    structure: Structure, side: int, view: str, spacing: tuple[float, float], rng: np.random.Generator
) -> Grid:
    """Return a grid (1, H, W) through a structure: a view, tilted a little, of some pixel size and thickness.

    Args:
        structure: somewhere about the middle.
        side: in pixels.
        view: one of `VIEWS`.
        spacing: the least and the largest size (mm) of a pixel.
        rng: source of chance.
    """
    rows, columns = (np.array(axis, float) for axis in VIEWS[view])
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.normal(0, 9))).as_matrix()
    if rng.random() < 0.5:
        columns = -columns
    pixel = np.exp(rng.uniform(*np.log(spacing)))
    matrix = np.eye(4)
    matrix[:3, 0] = turn @ columns * pixel * np.exp(rng.normal(0, 0.06))
    matrix[:3, 1] = turn @ rows * pixel
    matrix[:3, 2] = np.cross(turn @ columns, turn @ rows) * rng.choice([1.0, 2.0, 3.0, 4.0], p=[0.5, 0.2, 0.2, 0.1])
    through = structure.core if rng.random() < 0.3 else structure.places[int(rng.integers(len(structure.places)))]
    aim = rng.normal(side / 2, side / 9, 2).clip(8, side - 8)
    matrix[:3, 3] = through - matrix[:3, :2] @ aim
    return Grid((1, side, side), matrix)


def _kind(group: str) -> str:
    if group.startswith("disc"):
        return "disc"
    if group.startswith(("cervical", "thoracic", "lumbar", "sacr", "coccy")):
        return "bone"
    return "canal" if group.startswith("canal") else "other"
