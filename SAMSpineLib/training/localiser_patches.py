"""Windows for the localiser: mostly along the spine, now and then beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.models.intensity import normalise
from SAMSpineLib.models.localiser.config import LocaliserConfig
from SAMSpineLib.resampling import AIR_HU, sample, sample_labels
from SAMSpineLib.training.augmentation import Image, augmented_grid, in_other_contrast, scanned_otherwise
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.localiser_targets import (
    COCCYX,
    SACRUM,
    Centres,
    LocaliserTarget,
    localiser_target,
    vertebra_centre,
)

LAST_SPINE_VALUE = 28
BESIDE_THE_SPINE = 0.15
OTHER_CONTRAST = 0.2


class WindowSampler:
    """Draw random windows with their targets; every draw takes its randomness from the generator it is given."""

    def __init__(self, cases: Sequence[Case], config: LocaliserConfig) -> None:
        """Find the centres of all vertebrae of all cases."""
        self.cases = cases
        self.config = config
        weights = np.array([case.weight for case in cases])
        self._odds = weights / weights.sum()
        self._centres = [_centres(case) for case in cases]

    def draw(self, rng: np.random.Generator) -> tuple[Image, LocaliserTarget]:
        """Return a window of normalised intensities (K, J, I) and what the localiser shall say of it."""
        index = int(rng.choice(len(self.cases), p=self._odds))
        case = self.cases[index]
        grid = augmented_grid(self._place(case, rng), self.config.window, self.config.spacing, rng)
        image = sample(case.image.array, case.image.grid, grid, fill=AIR_HU).astype(np.float32)
        image = normalise(scanned_otherwise(image, rng), self.config.hounsfield)
        if rng.random() < OTHER_CONTRAST:
            image = in_other_contrast(image, rng)
        labels = sample_labels(case.labels, case.image.grid, grid)
        target = localiser_target(labels, grid, self._centres[index])
        return image, replace(target, ribs=np.isin(labels, case.ribs) if case.ribs else None)

    def _place(self, case: Case, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Choose the middle of a window (RAS mm)."""
        if rng.random() < BESIDE_THE_SPINE:
            return case.image.grid.to_ras(rng.random(3) * np.array(case.image.shape[::-1]))
        spine = [s for s in case.structures if s.value <= LAST_SPINE_VALUE] or list(case.structures)
        return np.asarray(spine[int(rng.integers(len(spine)))].core + rng.normal(0, 22, 3))


def _centres(case: Case) -> Centres:
    """Return the centre (RAS mm) of each vertebra of a case."""
    spine = np.where(case.labels <= LAST_SPINE_VALUE, case.labels, 0)
    boxes = ndimage.find_objects(spine)
    centres = {}
    for structure in case.structures:
        value = structure.value
        if value > LAST_SPINE_VALUE or value in (SACRUM, COCCYX):
            continue
        box = boxes[value - 1]
        ijk = vertebra_centre(spine[box] == value, case.image.grid.spacing)
        centres[value] = case.image.grid.to_ras(ijk + [side.start for side in reversed(box)])
    return centres
