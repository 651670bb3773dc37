"""How good slices are one by one, and a whole structure that is followed from one prompted slice.

A network that works slice by slice is used in two ways. In the first every slice is prompted by itself: a box, or a
click in the middle of the structure and then others where the answer is most wrong. In the second the slice in which
the structure is largest is prompted, and the structure is followed from there through the stack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from SAMSpineLib.evaluation.curves import RobotSettings, reach_of, truth_mask
from SAMSpineLib.evaluation.cuts import Cut
from SAMSpineLib.evaluation.joining import truths_for
from SAMSpineLib.evaluation.metrics import bounding_extent, dice, json_number, mean_of
from SAMSpineLib.evaluation.robot import next_click
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import Counted
from SAMSpineLib.prompts import Box, Point
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.volume import Extent, Grid, Volume, slices_of

# Pixels of truth from which a slice counts: of less than that a box holds little but border.
SMALLEST = 24
BOX = "box"
# The prompts from which a structure is followed.
STARTS = {BOX: 0, "1 click": 1, "3 clicks": 3}

BoolMask = npt.NDArray[np.bool_]


class SliceSession(Protocol):
    """What is needed of a session; `engine.Session` with a network that works slice by slice is one."""

    def set_volume(self, volume: Volume, /) -> object:
        """Open a volume; whatever was segmented before is gone."""

    def select(self, label: Label, /) -> object:
        """Choose the label that the next prompts are for."""

    def clear(self) -> object:
        """Forget the prompts and the result of the selected label."""

    def add(self, prompt: Point | Box, /) -> MaskUpdate:
        """Take one prompt in the slice that it was drawn in, and say what changed."""

    def propagate(self, *, progress: Counted | None = None) -> object:
        """Follow the selected label from its prompted slice through the stack."""

    def mask(self, label: int, /) -> npt.NDArray[np.uint8]:
        """Return one label value's mask (K, J, I) on the volume's grid."""


@dataclass
class SliceScores:
    """The Dice of a structure's slices: of each, after 1, 2, ... clicks (slices, clicks), and with a box (slices,)."""

    clicks: list[list[float]] = field(default_factory=list)
    box: list[float] = field(default_factory=list)

    def after_clicks(self) -> list[float]:
        """Return the mean over slices after 1, 2, ... clicks; empty without slices."""
        return [mean_of(column) for column in zip(*self.clicks, strict=True)]


@dataclass
class Followed:
    """The Dice of a structure in 3D, followed from slice `index`, and the seconds it took, by what was prompted."""

    index: int
    dice: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceReport:
    """The scores of one direction by label name; `followed` is empty where nothing was followed."""

    slices: dict[str, SliceScores]
    followed: dict[str, Followed]

    def mean(self) -> dict[str, Any]:
        """Return the means over structures, each counting once: `dice` after each click, `box`, `followed` by start."""
        rows = [one for one in self.slices.values() if one.box]
        curves = [one.after_clicks() for one in rows]
        starts = {name: mean_of([one.dice[name] for one in self.followed.values()]) for name in STARTS}
        return {
            "dice": [mean_of(column) for column in zip(*curves, strict=True)],
            "box": mean_of([mean_of(one.box) for one in rows]),
            "followed": starts if self.followed else {},
        }

    def to_json(self) -> dict[str, Any]:
        """Return `{"labels": {name: {"slices", "dice", "box", "followed"}}, "mean": {...}}` in plain JSON types."""
        labels = {
            name: {
                "slices": len(one.box),
                "dice": [json_number(value) for value in one.after_clicks()],
                "box": json_number(mean_of(one.box)),
                "followed": _followed_json(self.followed.get(name)),
            }
            for name, one in self.slices.items()
        }
        mean = self.mean()
        plain = {
            "dice": [json_number(value) for value in mean["dice"]],
            "box": json_number(mean["box"]),
            "followed": {name: json_number(value) for name, value in mean["followed"].items()} or None,
        }
        return {"labels": labels, "mean": plain}


@dataclass(frozen=True)
class SlicePlan:
    """What is tried: in which slices, each `every`-th of them, by what robot, and whether structures are followed."""

    cut: Cut
    robot: RobotSettings = field(default_factory=RobotSettings)
    follow: bool = True
    every: int = 1


def simulate_slices(
    session: SliceSession,
    volume: Volume,
    truth: Volume,
    labels: Sequence[Label],
    plan: SlicePlan,
    progress: Counted | None = None,
) -> SliceReport:
    """Prompt every slice of each label by itself, then follow each label from its largest slice.

    Slices are scored on the volume's grid, to which the truth is brought by nearest neighbour; what was followed is
    scored in 3D in the truth's grid, as `curves.simulate` does. The session is cleared before and after each trial. A
    slice that is right stays as it is for the clicks that are left.

    Args:
        session: any object that keeps the protocol `SliceSession`.
        volume: the image to segment.
        truth: integer label map, on any grid.
        labels: what to segment; each must occur in the truth.
        plan: what is tried; of a volume with but one slice nothing is followed.
        progress: called as (slices done, slices in all, name of the label); followed ones count each time.

    Raises:
        LabelError: if a label does not occur in the truth.
        GeometryError: if one lies outside the volume altogether.
        PromptError: if the jitter is not a length.
    """
    wanted = list(_wanted(volume, truth, labels, plan.cut))
    session.set_volume(volume)
    places = _places(wanted, plan)
    follow = wanted if plan.follow and plan.cut.count > 1 else []
    walk = len(STARTS) * plan.cut.count
    total = len(places) + walk * len(follow)
    slices = {one.label.name: SliceScores() for one in wanted}
    for done, (index, one) in enumerate(places, start=1):
        scores, trial = slices[one.label.name], _Trial(session, one, plan, index)
        scores.box.append(trial.with_box())
        scores.clicks.append(trial.with_clicks())
        if progress is not None:
            progress(done, total, one.label.name)
    followed: dict[str, Followed] = {}
    for one in follow:
        trial = _Trial(session, one, plan, int(one.areas.argmax()))
        tell = _walks(progress, len(places) + walk * len(followed), total, plan.cut.count)
        followed[one.label.name] = trial.followed(volume.grid, tell)
    return SliceReport(slices, followed)


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A structure to find, in two label maps that others share: `here` on the volume's grid (K, J, I), and `truth`.

    Masks are made when they are needed: those of all structures together can be larger than the memory.
    """

    label: Label
    here: npt.NDArray[np.integer[Any]] = field(repr=False)
    truth: Volume = field(repr=False)
    reach: npt.NDArray[np.uint8] | None = field(repr=False)
    areas: npt.NDArray[np.int_] = field(repr=False)

    def mask(self) -> Volume:
        """Return its mask in the truth's grid."""
        return truth_mask(self.truth, self.label, self.reach)


def _wanted(volume: Volume, truth: Volume, labels: Sequence[Label], cut: Cut) -> Iterator[_Wanted]:
    reach = reach_of(truth, volume)
    for one, asked in truths_for(truth, labels):
        here = sample_labels(one.array, one.grid, volume.grid)
        for label in asked:
            truth_mask(one, label, reach)  # refuses what cannot be scored, before the first prompt
            yield _Wanted(label, here, one, reach, cut.areas(here == label.value))


def _places(wanted: Sequence[_Wanted], plan: SlicePlan) -> list[tuple[int, _Wanted]]:
    """Return slices and the structures that are large enough there; all of a slice together, as it is encoded once."""
    indices = range(0, plan.cut.count, plan.every)
    return [(index, one) for index in indices for one in wanted if one.areas[index] >= SMALLEST]


@dataclass(frozen=True)
class _Trial:
    """One structure in one slice."""

    session: SliceSession
    wanted: _Wanted
    plan: SlicePlan
    index: int

    @property
    def extent(self) -> Extent:
        """The slice's voxels in the volume."""
        return self.plan.cut.extent(self.index)

    @property
    def grid(self) -> Grid:
        """The slice's grid."""
        return self.plan.cut.grid.crop(self.extent)

    @property
    def truth(self) -> BoolMask:
        """The slice of the truth, (K, J, I) and one voxel thin."""
        return np.asarray(self.wanted.here[slices_of(self.extent)] == self.wanted.label.value)

    def with_box(self) -> float:
        """Return the slice's Dice with a tight box."""
        self._begin()
        drawn = self._drawn(np.zeros(self.truth.shape, bool), self.session.add(self._box()))
        self.session.clear()
        return dice(self.truth, drawn)

    def with_clicks(self) -> list[float]:
        """Return the slice's Dice after 1, 2, ... clicks."""
        self._begin()
        scores = [dice(self.truth, drawn) for drawn in self._clicking(self.plan.robot.clicks)]
        self.session.clear()
        return scores + scores[-1:] * (self.plan.robot.clicks - len(scores))

    def followed(self, grid: Grid, tell: Callable[[int, str], Counted | None]) -> Followed:
        """Return the structure's Dice in 3D when it is followed from this slice, for every kind of start."""
        found, truth = Followed(self.index), self.wanted.mask()
        for number, (name, clicks) in enumerate(STARTS.items()):
            self._begin()
            started = time.perf_counter()
            if clicks:
                for _ in self._clicking(clicks):
                    pass
            else:
                self.session.add(self._box())
            self.session.propagate(progress=tell(number, self.wanted.label.name))
            found.seconds[name] = time.perf_counter() - started
            mask = sample_labels(self.session.mask(self.wanted.label.value), grid, truth.grid)
            found.dice[name] = dice(truth.array, mask)
            self.session.clear()
        return found

    def _begin(self) -> None:
        self.session.select(self.wanted.label)
        self.session.clear()

    def _clicking(self, most: int) -> Iterator[BoolMask]:
        """Click, and yield what is marked after each click; end early where nothing is wrong any more."""
        rng = np.random.default_rng([self.plan.robot.seed, self.wanted.label.value, self.index])
        drawn = np.zeros(self.truth.shape, bool)
        for _ in range(most):
            click = self._click(drawn, rng)
            if click is None:
                return
            drawn = self._drawn(drawn, self.session.add(click))
            yield drawn

    def _click(self, drawn: BoolMask, rng: np.random.Generator) -> Point | None:
        """Return the next click, moved within the slice only."""
        jitter, where = self.plan.robot.jitter_mm, self.plan.robot.placement
        click = next_click(self.truth, drawn, self.grid, rng=rng, jitter_mm=jitter, placement=where)
        return None if click is None else replace(click, normal=self.plan.cut.normal)

    def _box(self) -> Box:
        """Return the tight box around the slice's truth, from edge to edge of its voxels."""
        extent = bounding_extent(self.truth)
        if extent is None:
            msg = f"slice {self.index} holds nothing of {self.wanted.label.name}"
            raise ValueError(msg)
        half = np.array([0.5, 0.5, 0.5])
        half[2 - self.plan.cut.axis] = 0.0
        low, high = self.grid.to_ras(np.array(extent[::2]) - half), self.grid.to_ras(np.array(extent[1::2]) + half)
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]), self.plan.cut.normal)

    def _drawn(self, before: BoolMask, update: MaskUpdate) -> BoolMask:
        """Return what is marked in the slice after an update."""
        low = np.maximum(self.extent[::2], update.extent[::2])
        high = np.minimum(self.extent[1::2], update.extent[1::2])
        after = before.copy()
        if (low <= high).all():
            after[_inside(low, high, self.extent)] = update.mask[_inside(low, high, update.extent)] != 0
        return after


def _inside(low: npt.NDArray[np.int_], high: npt.NDArray[np.int_], extent: Extent) -> tuple[slice, slice, slice]:
    """Return where voxels (I, J, K) from `low` to `high` lie in the crop of an extent."""
    i, j, k = (slice(int(a - s), int(b - s) + 1) for a, b, s in zip(low, high, extent[::2], strict=True))
    return (k, j, i)


def _walks(progress: Counted | None, before: int, total: int, count: int) -> Callable[[int, str], Counted | None]:
    """Return what makes the progress of the walk from each start: a whole stack of `count` slices when it is done."""
    if progress is None:
        return lambda _number, _name: None

    def tell(number: int, name: str) -> Counted:
        def step(done: int, steps: int, _names: str) -> None:
            progress(before + number * count + count * done // max(steps, 1), total, f"{name}, followed")

        return step

    return tell


def _followed_json(one: Followed | None) -> dict[str, Any] | None:
    if one is None:
        return None
    scores = {name: json_number(value) for name, value in one.dice.items()}
    return {"slice": one.index, **scores, "seconds": {name: json_number(value) for name, value in one.seconds.items()}}
