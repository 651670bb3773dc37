"""The line on which vertebrae stand: a curve through their centres, and the chain of peaks that it is drawn through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.interpolate import splev, splprep
from scipy.spatial import cKDTree

from SAMSpineLib.errors import GeometryError

Array = npt.NDArray[np.float64]

_STEP_MM = 0.5


@dataclass(frozen=True, eq=False)
class SpineLine:
    """A smooth curve (RAS mm) by arc length in mm, 0 at its upper end; beyond its ends it goes on straight.

    Attributes:
        points: (M, 3) the curve at equal steps of arc length.
        length: from the first to the last centre (mm).
    """

    points: Array
    length: float

    @classmethod
    def fit(cls, centres: npt.ArrayLike, *, tolerance: float = 2.0) -> SpineLine:
        """Fit a smoothing spline (Dierckx, Curve and Surface Fitting with Splines, 1993, section 9.1).

        Args:
            centres: (N, 3) RAS mm, N >= 2, head to foot, no two neighbours at one place.
            tolerance: root mean square distance (mm) that the curve may keep from the centres to be smooth.

        Raises:
            GeometryError: if there are fewer than two centres or neighbours coincide.
        """
        places = np.asarray(centres, np.float64)
        gaps = np.linalg.norm(np.diff(places, axis=0), axis=-1) if places.ndim == 2 else np.zeros(0)
        if len(gaps) == 0 or not (gaps > 0).all():
            msg = f"A line needs at least two centres (N, 3), each at a place of its own, got {places.tolist()}"
            raise GeometryError(msg)
        spline, _ = splprep(places.T, k=min(3, len(gaps)), s=len(places) * tolerance**2)
        dense = np.transpose(splev(np.linspace(0, 1, int(gaps.sum() / _STEP_MM) + 2), spline))
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
        even = np.linspace(0, arc[-1], len(dense))
        return cls(np.stack([np.interp(even, arc, axis) for axis in dense.T], axis=1), float(arc[-1]))

    @cached_property
    def _arc(self) -> Array:
        return np.linspace(0, self.length, len(self.points))

    @cached_property
    def _tangents(self) -> Array:
        slopes = np.gradient(self.points, axis=0)
        return np.asarray(slopes / np.linalg.norm(slopes, axis=1, keepdims=True))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.points)

    def tangent(self, s: npt.ArrayLike) -> Array:
        """Return the unit vectors (..., 3) that point footwards at arc lengths `s` (...)."""
        lengths = np.asarray(s, np.float64)
        along = np.stack([np.interp(lengths, self._arc, axis) for axis in self._tangents.T], axis=-1)
        return np.asarray(along / np.linalg.norm(along, axis=-1, keepdims=True))

    def at(self, s: npt.ArrayLike) -> Array:
        """Return the places (..., 3) in RAS mm at arc lengths `s` (...)."""
        lengths = np.asarray(s, np.float64)
        on_line = np.stack([np.interp(lengths, self._arc, axis) for axis in self.points.T], axis=-1)
        beyond = lengths - np.clip(lengths, 0, self.length)
        return np.asarray(on_line + beyond[..., None] * self.tangent(lengths))

    def project(self, ras: npt.ArrayLike) -> Array:
        """Return the arc lengths (...) of the line's points nearest to `ras` (..., 3) in mm.

        Below 0 and above `length` for places beyond its ends.
        """
        places = np.asarray(ras, np.float64)
        nearest = self._tree.query(places)[1]
        along = ((places - self.points[nearest]) * self._tangents[nearest]).sum(axis=-1)
        step = self._arc[1]
        low = np.where(nearest == 0, -np.inf, -step)
        high = np.where(nearest == len(self.points) - 1, np.inf, step)
        return np.asarray(self._arc[nearest] + np.clip(along, low, high))


@dataclass(frozen=True)
class ChainSettings:
    """Which peaks may follow one another, and what a step costs in units of a peak's score.

    Attributes:
        spacing: least and most distance (mm) of neighbouring centres, from an infant's neck to a tall man's lumbar
            spine.
        most_missing: vertebrae without a peak that one step may pass over.
        steepest: least share of a step that goes footwards; 0.25 is 75 degrees from straight down.
        error: standard deviation (mm) of a peak's place.
        odd: weight of a turn or a change of spacing that is as large as usual.
        spread: usual change of spacing between neighbours (logarithm).
        turn: usual turn between neighbours (radians).
        missing: cost of each vertebra passed over, times 2 less the share of bone on the way.
        double: two centres closer than this share of the spacing around them are one vertebra.
    """

    spacing: tuple[float, float] = (7.0, 55.0)
    most_missing: int = 2
    steepest: float = 0.25
    error: float = 3.0
    odd: float = 0.12
    spread: float = 0.12
    turn: float = 0.25
    missing: float = 0.2
    double: float = 0.6


@dataclass(frozen=True)
class Link:
    """One peak of a chain: its index, and how many times the spacing the step from the peak above spans (0: first)."""

    peak: int
    levels: int


@dataclass(frozen=True, eq=False)
class _Steps:
    """All steps from one peak down to another that may be: (M,) arrays and `direction` (M, 3)."""

    upper: npt.NDArray[np.intp]
    lower: npt.NDArray[np.intp]
    levels: npt.NDArray[np.intp]
    spacing: Array
    direction: Array
    cost: Array


def best_chain(places: Array, scores: Array, support: Array, settings: ChainSettings) -> list[Link]:
    """Choose the peaks that make the best spine: many, sure, evenly spaced, on a smooth curve.

    Dynamic programming over steps: each step is judged against the one before, by the change of the spacing (the
    distance divided by the levels it spans) and of the direction. Ribs, pelvis and skull are off the curve; a doubled
    peak breaks the spacing; a missing one makes a step of two levels.

    Args:
        places: (N, 3) RAS mm.
        scores: (N,) above 0.
        support: (N, N) share (0..1) of the way from one peak to another that is bone.
        settings: what a step costs.

    Returns:
        Links head to foot, empty where there are no peaks.
    """
    if len(places) == 0:
        return []
    steps = _steps(places, support, settings)
    total = np.zeros(len(steps.upper))
    before = np.full(len(steps.upper), -1)
    for peak in np.argsort(-places[:, 2], kind="stable"):
        arriving, leaving = np.flatnonzero(steps.lower == peak), np.flatnonzero(steps.upper == peak)
        total[leaving] = scores[peak]
        if len(arriving) and len(leaving):
            worth = total[arriving, None] - _change(steps, arriving, leaving, settings)
            best = worth.argmax(axis=0)
            longer = worth[best, np.arange(len(leaving))] > scores[peak]
            total[leaving] = np.where(longer, worth[best, np.arange(len(leaving))], scores[peak])
            before[leaving] = np.where(longer, arriving[best], -1)
        total[leaving] += scores[steps.lower[leaving]] - steps.cost[leaving]
    if len(total) == 0 or total.max() <= scores.max():
        return [Link(int(scores.argmax()), 0)]
    return _trace(steps, before, int(total.argmax()))


def _steps(places: Array, support: Array, settings: ChainSettings) -> _Steps:
    way = places[None, :] - places[:, None]
    distance = np.linalg.norm(way, axis=-1)
    down = -way[..., 2] > settings.steepest * np.maximum(distance, 1e-6)
    found = []
    for levels in range(1, settings.most_missing + 2):
        low, high = settings.spacing
        fits = down & (distance >= low * levels) & (distance <= high * levels)
        found.append(np.column_stack([np.argwhere(fits), np.full(fits.sum(), levels)]))
    upper, lower, spans = np.concatenate(found).T
    far = distance[upper, lower]
    cost = settings.missing * (spans - 1) * (2 - support[upper, lower])
    return _Steps(upper, lower, spans, far / spans, way[upper, lower] / far[:, None], cost)


def _change(
    steps: _Steps, arriving: npt.NDArray[np.intp], leaving: npt.NDArray[np.intp], settings: ChainSettings
) -> Array:
    """Return (A, L) what it costs to go on by each step that leaves a peak after each that arrives there."""
    a, b = steps.spacing[arriving][:, None], steps.spacing[leaving][None, :]
    # The error of a peak weighs more on a short step; a step over several levels shares it between them.
    blur = (
        2 * settings.error**2 * (1 / (a * steps.levels[arriving][:, None]) ** 2 + 1 / (b * steps.levels[leaving]) ** 2)
    )
    turn = np.arccos(np.clip(steps.direction[arriving] @ steps.direction[leaving].T, -1, 1))
    uneven = np.log(a / b) ** 2 / (settings.spread**2 + blur)
    return np.asarray(settings.odd * (uneven + turn**2 / (settings.turn**2 + blur)))


def _trace(steps: _Steps, before: npt.NDArray[np.intp], step: int) -> list[Link]:
    """Follow the best chain up from its last step."""
    links = [Link(int(steps.lower[step]), int(steps.levels[step]))]
    while before[step] >= 0:
        step = int(before[step])
        links.append(Link(int(steps.lower[step]), int(steps.levels[step])))
    return [Link(int(steps.upper[step]), 0), *links[::-1]]


def join_doubles(
    places: Array, scores: Array, levels: npt.NDArray[np.intp], settings: ChainSettings
) -> tuple[Array, Array, npt.NDArray[np.intp]]:
    """Join two peaks of one vertebra that both came into the chain: they share the gap that is too small for two.

    Args:
        places: (N, 3) RAS mm of a chain, head to foot.
        scores: (N,) of its peaks.
        levels: (N - 1,) levels that each step spans.
        settings: what counts as a double.

    Returns:
        All three without doubles; the place of two is their mean, weighted by score.
    """
    while len(levels) > 3:
        gaps = np.linalg.norm(np.diff(places, axis=0), axis=1) / levels
        around = [np.median(np.delete(gaps[max(n - 3, 0) : n + 4], min(n, 3))) for n in range(len(gaps))]
        n = int(np.argmin(gaps / around))
        if gaps[n] >= settings.double * around[n]:
            break
        pair = slice(n, n + 2)
        places, scores = places.copy(), scores.copy()
        places[n] = np.average(places[pair], axis=0, weights=scores[pair])
        scores[n] = scores[pair].max()
        places, scores = np.delete(places, n + 1, axis=0), np.delete(scores, n + 1)
        levels = np.delete(levels, n)
    return places, scores, levels
