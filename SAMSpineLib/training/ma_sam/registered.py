"""What registered atlases could say of a slice, where no registration is at hand: spines of other subjects, laid over.

Each level of another subject is laid over the same level of this one by the affine map between their places, as if
both were clouds of points; between levels the maps blend into one another. What a registration gets wrong is added:
coarse masks that are off, which all atlases follow, fits that are off, shapes that bend, levels that are lost or taken
for their neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES
from SAMSpineLib.training.cases import Case
from SAMSpineLib.training.synthetic.fields import smooth_field
from SAMSpineLib.volume import Grid

Places = npt.NDArray[np.float64]
Kinds = npt.NDArray[np.uint8]

# Standard deviations in millimetres, at most: how far a coarse mask is off, which all atlases share, how far each fit
# is, and how far shapes bend.
COARSE_ERROR, OWN_ERROR, MOST_BENT = 2.0, 1.2, 2.5
BEND_WAVELENGTH = 30.0
SIZE_ERROR = 0.04
# How often an atlas fits as if it were the subject itself.
FITS_WELL = 0.35
# How often a level is lost, or taken for a neighbour: by all atlases, or by one.
LOST_BY_ALL, MISTAKEN_BY_ALL, LOST, MISTAKEN = 0.1, 0.05, 0.1, 0.07
# Places are mapped at every so many pixels, and in between by interpolation: maps are smooth.
STRIDE = 8
SACRUM = len(LEVEL_VALUES)


@dataclass(frozen=True, eq=False)
class _Cloud:
    """The places of a level: mean (3,) RAS mm and covariance (3, 3)."""

    mean: Places = field(repr=False)
    covariance: Places = field(repr=False)

    @classmethod
    def of(cls, places: Places) -> _Cloud:
        return cls(places.mean(axis=0), np.cov(places.T) + np.eye(3))

    def onto(self, other: _Cloud) -> Places:
        """Return the linear map (3, 3) that gives this cloud the extent of another one, and turns nothing.

        Source: the optimal transport between two Gaussians (Olkin and Pukelsheim, Linear Algebra Appl. 1982).
        """
        root, back = _power(self.covariance, 0.5), _power(self.covariance, -0.5)
        linear: Places = back @ _power(root @ other.covariance @ root, 0.5) @ back
        return linear


@dataclass(frozen=True, eq=False)
class _Fault:
    """What is wrong with each level: how far it is off (mm), its size, what it is taken for; 0 where it is lost."""

    offsets: Mapping[int, Places]
    sizes: Mapping[int, float]
    named: Mapping[int, int]

    @classmethod
    def draw(cls, kinds: Sequence[int], error: float, odds: tuple[float, float], rng: np.random.Generator) -> _Fault:
        """Draw what is wrong.

        Args:
            kinds: the levels.
            error: how far they are off (mm), at most.
            odds: of losing a level, and of mistaking one.
            rng: source of chance.
        """
        spread = rng.uniform(0, error)
        offsets = {kind: rng.normal(0, spread, 3) for kind in kinds}
        sizes = {kind: float(np.exp(rng.normal(0, SIZE_ERROR))) for kind in kinds}
        named = {kind: kind for kind in kinds}
        lost, mistaken = rng.random(2) < odds
        if lost:
            named[int(rng.choice(kinds))] = 0
        vertebrae = [kind for kind in kinds if kind != SACRUM]
        if mistaken and vertebrae:
            kind = int(rng.choice(vertebrae))
            named[kind] = int(np.clip(kind + rng.choice([-1, 1]), 1, SACRUM - 1))
        return cls(offsets, sizes, named)


class RegisteredAtlases:
    """Label maps of other subjects, as if they had been registered to a case; all randomness is the generator's."""

    def __init__(self, cases: Sequence[Case], lookup: npt.NDArray[np.integer]) -> None:
        """Look where the levels of all cases are.

        Args:
            cases: of all subjects.
            lookup: the class of each label value, 0 for none; the last one is for all values above.
        """
        self._cases, self._lookup = cases, lookup
        self._clouds = [_clouds(case, lookup) for case in cases]

    def draw(self, case: int, grid: Grid, count: int, rng: np.random.Generator) -> Kinds:
        """Return what so many atlases say of a slice (1, H, W) of a case: classes (count, H, W), 0 for background."""
        kinds = sorted(self._clouds[case])
        if not kinds:
            return np.zeros((count, *grid.shape[1:]), np.uint8)
        coarse = _Fault.draw(kinds, COARSE_ERROR, (LOST_BY_ALL, MISTAKEN_BY_ALL), rng)
        return np.stack([self._atlas(case, grid, coarse, rng) for _ in range(count)])

    def _atlas(self, case: int, grid: Grid, coarse: _Fault, rng: np.random.Generator) -> Kinds:
        other = case if rng.random() < FITS_WELL else int(rng.integers(len(self._cases)))
        if not self._clouds[case].keys() & self._clouds[other].keys():
            other = case
        kinds = sorted(self._clouds[case].keys() & self._clouds[other].keys())
        own = _Fault.draw(kinds, OWN_ERROR, (LOST, MISTAKEN), rng)
        j, i = (np.arange(0, side + STRIDE, STRIDE) for side in grid.shape[1:])
        nodes = grid.to_ras(np.stack(np.broadcast_arrays(i[None], j[:, None], 0), axis=-1))
        places = self._mapped(nodes, case, other, (coarse, own))
        places = places + _bent(nodes.shape[:2], grid.spacing * STRIDE, rng)
        seen = self._read(self._cases[other], _between(places, grid.shape[1:]))
        named = np.zeros(SACRUM + 1, np.uint8)
        for kind in kinds:
            said = own.named[kind]
            named[kind] = coarse.named[kind] if said == kind else said
        return named[seen]

    def _mapped(self, places: Places, case: int, other: int, faults: Sequence[_Fault]) -> Places:
        """Return where places (..., 3) of a case lie in another subject, both RAS mm."""
        here, there = self._clouds[case], self._clouds[other]
        kinds = sorted(here.keys() & there.keys())
        mapped, nearness = [], []
        for kind in kinds:
            away = places - here[kind].mean
            nearness.append(-0.5 * np.einsum("...i,ij,...j", away, np.linalg.inv(here[kind].covariance), away))
            linear = here[kind].onto(there[kind]) * np.prod([fault.sizes[kind] for fault in faults])
            off = sum(fault.offsets[kind] for fault in faults)
            mapped.append(there[kind].mean + (away - off) @ linear.T)
        weights = np.exp(np.stack(nearness) - np.max(nearness, axis=0))
        blended: Places = np.einsum("n...,n...c->...c", weights / weights.sum(axis=0), np.stack(mapped))
        return blended

    def _read(self, case: Case, places: npt.NDArray[np.float32]) -> Kinds:
        """Return the classes (H, W) at the voxels that are nearest to places (H, W, 3) RAS mm."""
        i, j, k = np.moveaxis(np.rint(case.image.grid.to_ijk(places)).astype(np.int64), -1, 0)
        depth, height, width = case.labels.shape
        inside = (k >= 0) & (k < depth) & (j >= 0) & (j < height) & (i >= 0) & (i < width)
        seen = np.zeros(inside.shape, np.uint8)
        values = case.labels[k[inside], j[inside], i[inside]]
        seen[inside] = self._lookup[np.minimum(values, len(self._lookup) - 1)]
        return seen


def _clouds(case: Case, lookup: npt.NDArray[np.integer]) -> dict[int, _Cloud]:
    """Return where each level of a case is."""
    places: dict[int, list[Places]] = {}
    for one in case.structures:
        kind = int(lookup[min(one.value, len(lookup) - 1)])
        if kind:
            places.setdefault(kind, []).append(one.places)
    return {kind: _Cloud.of(np.concatenate(some)) for kind, some in places.items()}


def _power(matrix: Places, exponent: float) -> Places:
    """Return a power of a symmetric positive matrix (3, 3)."""
    values, vectors = np.linalg.eigh(matrix)
    raised: Places = (vectors * values**exponent) @ vectors.T
    return raised


def _bent(shape: tuple[int, ...], spacing: Places, rng: np.random.Generator) -> Places:
    """Return a smooth displacement (H, W, 3) in mm for nodes so far (I, J, K; mm) from each other."""
    height, width = shape
    strength = rng.uniform(0, MOST_BENT) / np.sqrt(3)
    fields = [smooth_field(rng, (1, height, width), spacing, BEND_WAVELENGTH)[0] for _ in range(3)]
    return np.asarray(strength * np.stack(fields, axis=-1), np.float64)


def _between(nodes: Places, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return places (H, W, 3) at each pixel from those at every `STRIDE`th."""
    height, width = (STRIDE * (count - 1) + 1 for count in nodes.shape[:2])
    grid = torch.from_numpy(nodes).float().permute(2, 0, 1)[None]
    fine = F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=True)[0]
    places: npt.NDArray[np.float32] = fine.permute(1, 2, 0).numpy()[: shape[0], : shape[1]]
    return places
