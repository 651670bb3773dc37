"""Quality over clicks: a robot user segments one label after another and every click is scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import GeometryError, LabelError, PromptError
from SAMSpineLib.evaluation.metrics import dice, json_number, mean_of, surface_dice
from SAMSpineLib.evaluation.robot import Placement, next_click
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import Counted
from SAMSpineLib.prompts import Point
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.volume import Volume

NSD_TOLERANCE_MM = 2.0


class ClickableSession(Protocol):
    """What the robot needs of a session; `engine.Session` is one. `clear` must leave the label selected."""

    def set_volume(self, volume: Volume, /) -> object:
        """Open a volume; whatever was segmented before is gone."""

    def select(self, label: Label, /) -> object:
        """Choose the label that the next prompts are for."""

    def clear(self) -> object:
        """Forget the prompts and the result of the selected label, or of all."""

    def add(self, prompt: Point, /) -> MaskUpdate:
        """Take one prompt, update the selected label's mask, and say what changed."""

    def mask(self, label: int, /) -> npt.NDArray[np.uint8]:
        """Return one label value's mask (K, J, I) on the volume's grid."""


@dataclass(frozen=True)
class RobotSettings:
    """How the robot behaves: number of clicks per label, how far off the ideal point (mm), where, and the seed."""

    clicks: int = 5
    jitter_mm: float = 0.0
    seed: int = 0
    placement: Placement = "deepest"

    def __post_init__(self) -> None:
        """Check the number of clicks."""
        if self.clicks < 1:
            msg = f"The robot must make at least one click per label, got {self.clicks}"
            raise PromptError(msg)


@dataclass
class Curve:
    """One label's scores after 1, 2, ... clicks, seconds and patches that each click took, and the clicks themselves.

    A robot that has nothing left to correct stops early: `clicks` is then shorter, scores and patches stay what they
    were and the clicks not made took 0 seconds.
    """

    dice: list[float] = field(default_factory=list)
    nsd_2mm: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    patches: list[int] = field(default_factory=list)
    clicks: list[Point] = field(default_factory=list)

    def to_json(self) -> dict[str, list[float | None]]:
        """Return the numbers as `{"dice": [...], "nsd_2mm": [...], "seconds": [...]}`."""
        return {name: [json_number(v) for v in getattr(self, name)] for name in ("dice", "nsd_2mm", "seconds")}


@dataclass(frozen=True)
class SimulationReport:
    """The curves of a simulation by label name."""

    labels: dict[str, Curve]

    def mean(self) -> Curve:
        """Return the mean over labels after each click, each label counting once; without clicks."""
        curves = list(self.labels.values())
        return Curve(
            dice=[mean_of(column) for column in zip(*(c.dice for c in curves), strict=True)],
            nsd_2mm=[mean_of(column) for column in zip(*(c.nsd_2mm for c in curves), strict=True)],
            seconds=[mean_of(column) for column in zip(*(c.seconds for c in curves), strict=True)],
        )

    def to_json(self) -> dict[str, Any]:
        """Return `{"labels": {name: curve, ...}, "mean": curve}` in plain JSON types; NaN is None."""
        return {"labels": {name: c.to_json() for name, c in self.labels.items()}, "mean": self.mean().to_json()}


def simulate(
    session: ClickableSession,
    volume: Volume,
    truth: Volume,
    labels: Sequence[Label],
    settings: RobotSettings | None = None,
    progress: Counted | None = None,
) -> SimulationReport:
    """Let a robot user segment each label of a label map by clicks, and score every click in the truth's grid.

    Each label is segmented alone: its session is cleared before and after, so that no label profits from, or is
    clipped by, another one's result, and its random numbers depend on the seed and its own value only. The truth may
    lie on another grid than the volume; results are brought there by nearest neighbour. Voxels of the truth outside
    the volume are neither clicked nor scored. `seconds` is the time of `session.add` alone: it holds the encoding of
    what the session has not seen yet, and not opening the volume.

    Args:
        session: any object that keeps the protocol `ClickableSession`.
        volume: the image to segment.
        truth: integer label map, on any grid.
        labels: what to segment; each must occur in the truth.
        settings: the robot's behaviour; 5 ideal clicks where None.
        progress: called as (clicks done, clicks in all, name of the label) after each click.

    Raises:
        LabelError: if no labels are asked for, or one does not occur in the truth.
        GeometryError: if one lies outside the volume altogether.
        PromptError: if the jitter is not a length.
    """
    settings = settings or RobotSettings()
    if not labels:
        msg = "A simulation needs at least one label to segment, got none"
        raise LabelError(msg)
    reach = reach_of(truth, volume)
    for label in labels:
        # Before the first click: a simulation is long, and a wrong label should not cost it. The masks are made again
        # when their turn comes, because all of them together can be larger than the memory.
        truth_mask(truth, label, reach)
    session.set_volume(volume)
    curves: dict[str, Curve] = {}
    total = settings.clicks * len(labels)
    for number, label in enumerate(labels):
        trial = _Trial(session, volume, truth_mask(truth, label, reach), label)
        before = number * settings.clicks
        curves[label.name] = trial.run(settings, _shifted(progress, before, total, label.name))
    return SimulationReport(curves)


@dataclass(frozen=True)
class _Trial:
    """One label being segmented by the robot; `truth` is its mask."""

    session: ClickableSession
    volume: Volume
    truth: Volume
    label: Label

    def run(self, settings: RobotSettings, tell: Callable[[int], None]) -> Curve:
        """Click `settings.clicks` times and score each time."""
        rng = np.random.default_rng([settings.seed, self.label.value])
        curve = Curve()
        predicted: npt.NDArray[Any] = np.zeros(self.truth.shape, np.uint8)
        self.session.select(self.label)
        self.session.clear()
        for done in range(1, settings.clicks + 1):
            click = self._click(predicted, settings, rng)
            if click is None:
                _hold(curve)
            else:
                started = time.perf_counter()
                update = self.session.add(click)
                curve.seconds.append(time.perf_counter() - started)
                curve.patches.append(len(update.visited))
                curve.clicks.append(click)
                predicted = self._score(curve)
            tell(done)
        self.session.clear()
        return curve

    def _click(self, predicted: npt.NDArray[Any], settings: RobotSettings, rng: np.random.Generator) -> Point | None:
        grid, mask, where = self.truth.grid, self.truth.array, settings.placement
        click = next_click(mask, predicted, grid, rng=rng, jitter_mm=settings.jitter_mm, placement=where)
        if click is None or self.volume.grid.voxel_at(click.ras) is not None:
            return click
        # The centre of every voxel in play lies inside the volume, its rim perhaps not: jitter can step over it.
        return next_click(mask, predicted, grid, rng=rng, placement=where)

    def _score(self, curve: Curve) -> npt.NDArray[Any]:
        mask = self.session.mask(self.label.value)
        predicted = sample_labels(mask, self.volume.grid, self.truth.grid)
        spacing = [float(s) for s in self.truth.grid.spacing[::-1]]
        curve.dice.append(dice(self.truth.array, predicted))
        curve.nsd_2mm.append(surface_dice(self.truth.array, predicted, spacing, NSD_TOLERANCE_MM))
        return predicted


def _hold(curve: Curve) -> None:
    curve.dice.append(curve.dice[-1])
    curve.nsd_2mm.append(curve.nsd_2mm[-1])
    curve.patches.append(curve.patches[-1])
    curve.seconds.append(0.0)


def _shifted(progress: Counted | None, before: int, total: int, name: str) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if progress is not None:
            progress(before + done, total, name)

    return tell


def reach_of(truth: Volume, volume: Volume) -> npt.NDArray[np.uint8] | None:
    """Return where in the truth's grid (K, J, I) the volume is; None says everywhere."""
    if truth.grid.same_place(volume.grid):
        return None
    return sample_labels(np.ones(volume.shape, np.uint8), volume.grid, truth.grid)


def truth_mask(truth: Volume, label: Label, reach: npt.NDArray[np.uint8] | None) -> Volume:
    """Return the mask (K, J, I) of a label in a truth, where the volume is (see `reach_of`).

    Raises:
        LabelError: if the truth lacks the label.
        GeometryError: if the label lies outside the volume altogether.
    """
    mask = (truth.array == label.value).view(np.uint8)
    if not mask.any():
        msg = f"The truth has no voxel of '{label.name}' (value {label.value}): ask only for labels that it holds"
        raise LabelError(msg)
    if reach is not None:
        mask &= reach
    if not mask.any():
        msg = f"'{label.name}' lies outside the volume altogether: does this truth belong to this volume?"
        raise GeometryError(msg)
    return replace(truth, array=mask)
