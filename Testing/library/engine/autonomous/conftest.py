"""Maps of a localiser that knows the truth, made from label maps; tests spoil them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES, Localisation
from SAMSpineLib.training.localiser_targets import localiser_target, vertebra_centre
from SAMSpineLib.training.synthetic import PhantomSettings, make_phantom
from SAMSpineLib.volume import Grid

RIB = 1  # in a phantom's extras
VERTEBRAE = (*range(1, 26), 28)


def centres_of(labels: np.ndarray, grid: Grid) -> dict[int, np.ndarray]:
    """Return the centre (RAS mm) of each vertebra in a label map."""
    boxes = ndimage.find_objects(np.where(np.isin(labels, VERTEBRAE), labels, 0))
    centres = {}
    for value, (k, j, i) in ((n, box) for n, box in enumerate(boxes, start=1) if box is not None):
        ijk = vertebra_centre(labels[k, j, i] == value, grid.spacing) + (i.start, j.start, k.start)
        centres[value] = grid.to_ras(ijk)
    return centres


def ideal_localisation(
    labels: np.ndarray, grid: Grid, ribs: np.ndarray, centres: Mapping[int, np.ndarray] | None = None
) -> Localisation:
    """Return what a perfect localiser would say of a label map (K, J, I) whose grid's axes are R, A and S.

    Args:
        labels: see above.
        grid: where the label map lies.
        ribs: (K, J, I), which voxels are ribs.
        centres: RAS mm, of vertebrae that are cut; the label map's own where None.
    """
    present = set(np.unique(labels).tolist())
    seen = {v: c for v, c in (centres or centres_of(labels, grid)).items() if v in present}
    truth = localiser_target(labels, grid, seen)
    coarse = np.maximum(truth.levels, 0)
    one_hot = np.arange(len(LEVEL_VALUES))[:, None, None, None] == coarse
    likely = np.where(truth.levels >= 0, np.where(one_hot, 0.9, 0.1 / 24), 1 / 25)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] *= 2
    return Localisation(
        grid, truth.bone.astype(np.float32) * 0.95, truth.heat, truth.offsets,
        Grid(truth.levels.shape, matrix), np.log(likely).astype(np.float32), ribs.astype(np.float32),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Spine:
    """A label map at 3 mm with axes R, A, S, the centres of its vertebrae (RAS mm) and its ideal localisation."""

    labels: np.ndarray
    grid: Grid
    ribs: np.ndarray
    centres: Mapping[int, np.ndarray]
    ideal: Localisation

    @classmethod
    def of(cls, seed: int, levels: tuple[int, int], *, scale: float | None = None, clean: bool = True) -> Spine:
        """Make a phantom and leave out the vertebrae that its field of view cuts."""
        phantom = make_phantom(
            seed,
            PhantomSettings(
                spacing=(3.0, 3.0, 3.0), levels=levels, fov=(170.0, 190.0), orientation="RAS", oblique=0.0,
                clean=clean, adult_scale=scale, max_voxels=10**8, metal=0.0, margin=20.0,
            ),
        )  # fmt: skip
        labels, grid = phantom.labels.array.copy(), phantom.labels.grid
        wanted = [v for v in (*range(1, 20), 28, *range(20, 28)) if (labels == v).any()]
        first, last = wanted.index(levels[0]), wanted.index(levels[1])
        kept = [*wanted[first : last + 1], *([27] if levels[1] == 26 else [])]
        labels[~np.isin(labels, kept)] = 0
        ribs = phantom.extras.array == RIB
        centres = centres_of(labels, grid)
        return cls(labels, grid, ribs, centres, ideal_localisation(labels, grid, ribs, centres))

    def with_labels(self, labels: np.ndarray) -> Spine:
        """Return another spine on the same grid."""
        centres = centres_of(labels, self.grid)
        return Spine(labels, self.grid, self.ribs, centres, ideal_localisation(labels, self.grid, self.ribs, centres))

    def cropped(self, extent: tuple[int, int, int, int, int, int]) -> Spine:
        """Return a part of the field of view, with the centres of the whole."""
        i0, i1, j0, j1, k0, k1 = extent
        box = np.s_[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1]
        labels, ribs, grid = self.labels[box], self.ribs[box], self.grid.crop(extent)
        return Spine(labels, grid, ribs, self.centres, ideal_localisation(labels, grid, ribs, self.centres))


@pytest.fixture(scope="session")
def make_spine() -> Callable[..., Spine]:
    """Give a function that makes a spine: seed, first and last level, scale, clean."""
    return Spine.of


@pytest.fixture(scope="session")
def neck(make_spine) -> Spine:
    return make_spine(3, (1, 7))


@pytest.fixture(scope="session")
def whole_spine(make_spine) -> Spine:
    return make_spine(3, (1, 26))


@pytest.fixture(scope="session")
def low_back(make_spine) -> Spine:
    return make_spine(3, (17, 26))
