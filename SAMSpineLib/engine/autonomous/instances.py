"""Vertebra instances from the localiser's maps: which bone belongs to which vertebra, head to foot.

Bone belongs to the centre that its offsets point to, as in Panoptic-DeepLab (Cheng et al., CVPR 2020, section 3.2).
There heat alone makes centres; here a vertebra whose heat is faint is still found by the votes of its bone, and what is
faint is believed only in its place on the spine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from SAMSpineLib.engine.autonomous.spine_line import Array, ChainSettings, SpineLine, best_chain, join_doubles
from SAMSpineLib.errors import LabelError
from SAMSpineLib.models.localiser.localisation import LEVEL_VALUES, Localisation
from SAMSpineLib.prompts import Ras
from SAMSpineLib.volume import Grid

_SACRUM = LEVEL_VALUES.index(26)
_ANY_NEIGHBOUR = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class InstanceSettings:
    """What counts as a vertebra.

    Attributes:
        bone: probability from which a voxel is bone.
        faint: score from which a peak may be part of the spine.
        sure: score that at least one instance must reach; without it there is no spine in view. Maps of uniform noise
            reach 0.47. With heat of 0.2 and offsets that are wrong by 5 mm the best vertebra of a trunk reaches 0.7,
            that of a neck hardly more than this.
        least_ml: least volume of a vertebra.
        least_sacrum_ml: least volume of a sacrum.
        reach: distance (mm) from a centre up to which offsets may miss it; at the ends at most `share` of the spacing.
        share: see `reach`.
        filled: share of the middle of a gap that must be bone for an instance to be put there.
        most_peaks: so many peaks are looked at, the best first.
        chain: which peaks may follow one another.
    """

    bone: float = 0.5
    faint: float = 0.3
    sure: float = 0.5
    least_ml: float = 3.0
    least_sacrum_ml: float = 15.0
    reach: float = 20.0
    share: float = 0.75
    filled: float = 0.1
    most_peaks: int = 150
    chain: ChainSettings = field(default_factory=ChainSettings)


@dataclass(frozen=True, eq=False)
class Instance:
    """One vertebra, or the sacrum.

    Attributes:
        centre: RAS mm; for the sacrum the middle of its mask.
        score: how sure (0..1) that this is a vertebra; for the sacrum its mean probability.
        evidence: (25,) mean log-probability of `LEVEL_VALUES` over its voxels, weighted by bone probability.
        voxels: size on the localisation's grid.
        cut: its mask touches the border of the field of view.
        is_sacrum: it is the sacrum.
    """

    centre: Ras
    score: float
    evidence: npt.NDArray[np.float64] = field(repr=False)
    voxels: int
    cut: bool
    is_sacrum: bool = False


@dataclass(frozen=True, eq=False)
class Instances:
    """All vertebrae of an image.

    Attributes:
        instances: head to foot, the sacrum last where there is one.
        grid: the localisation's.
        map: (K, J, I) on `grid`, 0 for nothing, n for `instances[n - 1]`.
        line: through the centres of the vertebrae (not the sacrum's); None where there are fewer than two.
    """

    instances: tuple[Instance, ...]
    grid: Grid
    map: npt.NDArray[np.uint8] = field(repr=False)
    line: SpineLine | None

    def mask_of(self, number: int) -> tuple[npt.NDArray[np.bool_], Grid]:
        """Return the mask of `instances[number - 1]`, cropped to its box, and the grid of the crop.

        Raises:
            LabelError: if there is no such instance.
        """
        boxes = ndimage.find_objects(self.map, max_label=max(number, 1))
        if number < 1 or boxes[number - 1] is None:
            msg = f"Instances are numbered from 1 to {len(self.instances)}, there is none of number {number}"
            raise LabelError(msg)
        k, j, i = boxes[number - 1]
        extent = (i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
        return self.map[k, j, i] == number, self.grid.crop(extent)


@dataclass(frozen=True, eq=False)
class _Found:
    """Centres (N, 3) in RAS mm head to foot, their scores (N,) and the spacing (N,) in mm there."""

    centres: Array
    scores: Array
    spacing: Array

    def where(self, kept: npt.NDArray[np.bool_]) -> _Found:
        return _Found(self.centres[kept], self.scores[kept], self.spacing[kept])


@dataclass(frozen=True, eq=False)
class _Bone:
    """The voxels of bone: `kji` (M, 3), their places and where their offsets point to (M, 3) in RAS mm.

    `weight` (M,) is the probability of bone, `levels` (M, 25) are log-probabilities.
    """

    kji: npt.NDArray[np.intp]
    places: Array
    targets: Array
    weight: Array
    levels: Array

    @classmethod
    def of(cls, seen: Localisation, threshold: float) -> _Bone:
        kji = np.argwhere(seen.bone > threshold)
        k, j, i = kji.T
        places = seen.grid.to_ras(kji[:, ::-1])
        last = np.array(seen.level_grid.shape) - 1
        coarse = np.clip(np.rint(seen.level_grid.to_ijk(places)[:, ::-1]).astype(int), 0, last)
        levels = seen.levels[:, coarse[:, 0], coarse[:, 1], coarse[:, 2]].T.astype(np.float64)
        return cls(kji, places, places + seen.offsets[:, k, j, i].T, seen.bone[k, j, i].astype(np.float64), levels)


def find_instances(
    localisation: Localisation, *, settings: InstanceSettings | None = None, view: Grid | None = None
) -> Instances:
    """Find the vertebrae, head to foot, and the sacrum.

    Args:
        localisation: the localiser's maps.
        settings: what counts as a vertebra.
        view: the image's own grid, beyond which the maps may reach; None where they end with the image.

    Returns:
        No instances where there is no spine in view.
    """
    settings = settings or InstanceSettings()
    bone = _Bone.of(localisation, settings.bone)
    numbers = np.zeros(len(bone.kji), np.uint8)
    found = _spine(localisation, bone, settings)
    if len(found.scores):
        sacrum = _sacrum(localisation, bone, found, settings)
        numbers = _assign(bone, found, settings, sacrum)
        least = settings.least_ml * 1000 / localisation.grid.voxel_volume
        kept = np.bincount(numbers, minlength=len(found.scores) + 1)[1:] >= least
        found, numbers = found.where(kept), np.concatenate([[0], np.cumsum(kept) * kept])[numbers]
        numbers[sacrum] = len(found.scores) + 1
    if not (found.scores >= settings.sure).any():
        return Instances((), localisation.grid, np.zeros(localisation.grid.shape, np.uint8), None)
    whole = np.zeros(localisation.grid.shape, np.uint8)
    whole[tuple(bone.kji.T)] = numbers
    instances = _describe(bone, numbers, found, localisation.grid, view or localisation.grid)
    line = SpineLine.fit(found.centres) if len(found.centres) > 1 else None
    return Instances(instances, localisation.grid, whole, line)


def _spine(seen: Localisation, bone: _Bone, settings: InstanceSettings) -> _Found:
    """Return the chain of peaks, each moved to its middle, gaps filled and what lies in the sacrum dropped."""
    likeness = _likeness(seen, bone)
    places, scores = _peaks(likeness, seen.grid, settings)
    links = best_chain(places, scores, _support(seen, places), settings.chain)
    index = np.array([link.peak for link in links], int)
    steps = np.array([link.levels for link in links[1:]], int)
    centres, scores, steps = join_doubles(places[index], scores[index], steps, settings.chain)
    spacing = _spacing(centres, steps)
    found = _Found(_centred(centres, spacing, likeness, seen.grid), scores, spacing)
    if len(steps):
        found = _filled(found, steps, seen, likeness, settings)
    sacral = ndimage.uniform_filter(np.exp(seen.levels[_SACRUM]), 3, mode="nearest")
    while len(found.scores) > 1 and _looks_sacral(found, sacral, seen.level_grid):
        found = found.where(np.arange(len(found.scores)) < len(found.scores) - 1)
    return found


def _likeness(seen: Localisation, bone: _Bone) -> Array:
    """Return (K, J, I) how much (0..1) each place looks like a centre: the mean of what heat and votes say.

    Votes are counted per voxel: solid bone whose offsets point nowhere has a density of 1, bone that agrees upon a
    centre many times that. Heat counts as far as it stands out from what is around.
    """
    step = float(seen.grid.spacing.mean())
    heat = np.clip(seen.heat, 0, 1).astype(np.float64)
    heat = np.maximum(ndimage.gaussian_filter(heat, 2.0 / step) - ndimage.gaussian_filter(heat, 15.0 / step), 0)
    shape = np.array(seen.grid.shape)
    kji = np.rint(seen.grid.to_ijk(bone.targets)[:, ::-1]).astype(int)
    inside = ((kji >= 0) & (kji < shape)).all(axis=1)
    flat = np.ravel_multi_index(tuple(kji[inside].T), seen.grid.shape)
    votes = np.bincount(flat, bone.weight[inside], minlength=int(shape.prod())).reshape(seen.grid.shape)
    votes = ndimage.gaussian_filter(votes, 4.0 / step, mode="constant")
    return np.asarray(0.5 * (1.15 * heat / (heat + 0.15) + votes / (votes + 2.0)))


def _peaks(likeness: Array, grid: Grid, settings: InstanceSettings) -> tuple[Array, Array]:
    """Return places (N, 3) in RAS mm and scores (N,) of the best peaks."""
    top = (likeness >= settings.faint) & (likeness == ndimage.maximum_filter(likeness, 3))
    kji = np.argwhere(top)
    scores = likeness[top]
    best = np.argsort(-scores, kind="stable")[: settings.most_peaks]
    return grid.to_ras(kji[best, ::-1]), scores[best]


def _support(seen: Localisation, places: Array) -> Array:
    """Return (N, N) the share of bone along the straight way between each two places."""
    smooth = ndimage.gaussian_filter(seen.bone, 4.0 / float(seen.grid.spacing.mean()))
    share = np.linspace(0, 1, 12)[:, None, None, None]
    return np.asarray(_read(smooth, seen.grid, (1 - share) * places[:, None] + share * places[None]).mean(axis=0))


def _read(field: npt.NDArray[np.floating], grid: Grid, ras: Array) -> Array:
    """Return the values (...) of the voxels that hold the places (..., 3), of the nearest where they lie outside."""
    kji = np.clip(np.rint(grid.to_ijk(ras)[..., ::-1]).astype(int), 0, np.array(field.shape) - 1)
    return np.asarray(field[kji[..., 0], kji[..., 1], kji[..., 2]], np.float64)


def _spacing(centres: Array, levels: npt.NDArray[np.intp]) -> Array:
    """Return the spacing (N,) in mm at each centre: the mean of the steps next to it; 36 mm where there are none."""
    if len(centres) < 2:
        return np.full(len(centres), 36.0)
    gaps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / levels
    return np.asarray((np.append(gaps[:1], gaps) + np.append(gaps, gaps[-1:])) / 2)


def _filled(
    found: _Found, levels: npt.NDArray[np.intp], seen: Localisation, likeness: Array, settings: InstanceSettings
) -> _Found:
    """Put an instance wherever a step passes over a level and there is bone."""
    line = SpineLine.fit(found.centres)
    along = line.project(found.centres)
    solid = seen.bone > settings.bone
    rows = [(0, *found.centres[0], found.scores[0], found.spacing[0])]
    for n, (upper, lower) in enumerate(pairwise(along)):
        spacing = (lower - upper) / levels[n]
        for place in line.at(upper + spacing * np.arange(1, levels[n])):
            if _ball_mean(solid, seen.grid, place, 0.5 * spacing) >= settings.filled:
                score = min(float(_read(likeness, seen.grid, place)), settings.faint)
                rows.append((n + 1, *place, score, spacing))
        rows.append((n + 1, *found.centres[n + 1], found.scores[n + 1], found.spacing[n + 1]))
    table = np.array(rows)
    return _Found(table[:, 1:4], table[:, 4], table[:, 5])


def _ball(grid: Grid, centre: Array, radius: float) -> tuple[tuple[slice, slice, slice], Array, Array]:
    """Return the slices around a ball, the places (..., 3) of their voxels and the distances (...) from its centre."""
    middle, reach = grid.to_ijk(centre), radius / grid.spacing
    last = np.array(grid.shape[::-1])
    low = np.clip(np.floor(middle - reach).astype(int), 0, last - 1)
    high = np.clip(np.ceil(middle + reach).astype(int) + 1, low + 1, last)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    kji = np.moveaxis(np.mgrid[k, j, i], 0, -1)
    places = grid.to_ras(kji[..., ::-1])
    return (k, j, i), places, np.linalg.norm(places - centre, axis=-1)


def _ball_mean(solid: npt.NDArray[np.bool_], grid: Grid, centre: Array, radius: float) -> float:
    box, _, distance = _ball(grid, centre, radius)
    inside = distance <= max(radius, float(grid.spacing.max()))
    return float(solid[box][inside].mean()) if inside.any() else 0.0


def _centred(centres: Array, spacings: Array, likeness: Array, grid: Grid) -> Array:
    """Move each centre to the middle of what looks like one around it (mean shift), also between two peaks of one."""
    sharp = likeness**2
    moved = []
    for start, spacing in zip(centres, spacings, strict=True):
        sigma, place = float(np.clip(0.22 * spacing, 4.0, 8.0)), start
        for _ in range(5):
            box, places, distance = _ball(grid, place, 2 * sigma)
            weight = sharp[box] * np.exp(-(distance**2) / (2 * sigma**2))
            place = (weight[..., None] * places).sum(axis=(0, 1, 2)) / max(float(weight.sum()), 1e-12)
        moved.append(place)
    return np.array(moved).reshape(-1, 3)


def _looks_sacral(found: _Found, sacral: Array, grid: Grid) -> bool:
    """Tell whether the last centre is a faint one in the sacrum, which has none."""
    faint = found.scores[-1] < 0.5 * np.median(found.scores)
    return bool(faint and _read(sacral, grid, found.centres[-1]) > 0.5)


def _largest(kji: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Mark the voxels (M, 3) of the largest piece; voxels that touch by a corner are one piece."""
    low = kji.min(axis=0)
    box = np.zeros(kji.max(axis=0) - low + 1, bool)
    box[tuple((kji - low).T)] = True
    piece = ndimage.label(box, _ANY_NEIGHBOUR)[0][tuple((kji - low).T)]
    return np.asarray(piece == np.bincount(piece).argmax())


def _sacrum(seen: Localisation, bone: _Bone, found: _Found, settings: InstanceSettings) -> npt.NDArray[np.intp]:
    """Return which voxels of bone (indices) are the sacrum: one piece below the last centre; none if it is too small.

    What lies beside or above the last centre is left to its vertebra, whatever the levels say.
    """
    down = np.array([0.0, 0.0, -1.0])
    if len(found.centres) > 1:
        line = SpineLine.fit(found.centres)
        down = line.tangent(line.length)
    below = (bone.places - found.centres[-1]) @ down > 0.25 * found.spacing[-1]
    index = np.flatnonzero(below & (bone.levels.argmax(axis=1) == _SACRUM))
    if len(index) == 0:
        return index
    index = index[_largest(bone.kji[index])]
    large = len(index) * seen.grid.voxel_volume / 1000 >= settings.least_sacrum_ml
    return index if large else index[:0]


def _assign(
    bone: _Bone, found: _Found, settings: InstanceSettings, sacrum: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint8]:
    """Return (M,) for each voxel of bone the number of the instance nearest to where its offset points."""
    distance, nearest = cKDTree(found.centres).query(bone.targets)
    reach = np.full(len(found.centres), settings.reach)
    # What belongs to a vertebra beyond the ends, which was not found, must not fall to the last one that was.
    reach[[0, -1]] = np.minimum(settings.reach, settings.share * found.spacing[[0, -1]])
    within = distance <= reach[nearest]
    numbers = np.where(within, nearest + 1, 0).astype(np.uint8)
    numbers[sacrum] = 0
    for number in range(1, len(found.centres) + 1):
        members = np.flatnonzero(numbers == number)
        if len(members):
            numbers[members[~_largest(bone.kji[members])]] = 0
    return numbers


def _describe(
    bone: _Bone, numbers: npt.NDArray[np.uint8], found: _Found, grid: Grid, view: Grid
) -> tuple[Instance, ...]:
    """Say of each number what it is; one beyond the found is the sacrum."""
    instances = []
    for number in range(1, int(numbers.max()) + 1):
        mine = numbers == number
        sacral = number > len(found.scores)
        evidence = np.average(bone.levels[mine], axis=0, weights=bone.weight[mine])
        centre = bone.places[mine].mean(axis=0) if sacral else found.centres[number - 1]
        likely = bone.weight[mine] @ np.exp(bone.levels[mine, _SACRUM]) / mine.sum()
        score = float(likely if sacral else found.scores[number - 1])
        r, a, s = (float(x) for x in centre)
        cut = _touches_border(bone.places[mine], float(grid.spacing.mean()), view)
        instances.append(Instance((r, a, s), score, evidence, int(mine.sum()), cut, is_sacrum=sacral))
    return tuple(instances)


def _touches_border(places: Array, step: float, view: Grid) -> bool:
    """Tell whether any voxel of `step` mm at these places has its centre within one step of the border of a grid."""
    ijk, margin = view.to_ijk(places), step / view.spacing - 0.5
    return bool(((ijk < margin) | (ijk > np.array(view.shape[::-1]) - 1 - margin)).any())
