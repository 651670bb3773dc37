"""Many results against their truths: every case by itself, then each structure over subjects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import LabelError
from SAMSpineLib.evaluation.cuts import cuts_of
from SAMSpineLib.evaluation.intervals import Interval, interval_over_subjects
from SAMSpineLib.evaluation.joining import labels_in
from SAMSpineLib.evaluation.metrics import dice, hausdorff95, iou, json_number, mean_of, surface_dice
from SAMSpineLib.evaluation.pairs import Pair
from SAMSpineLib.evaluation.report import LabelMap, whole_labels
from SAMSpineLib.io.numbering import NamedLabels, read_named_labels
from SAMSpineLib.labels import LabelTable
from SAMSpineLib.progress import Counted
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.volume import Volume

TOLERANCE_MM = 2.0
# What is averaged, and what it is called.
METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "surface_dice": "surface Dice",
    "hd95_mm": "HD95 mm",
    "presence": "presence",
}


@dataclass(frozen=True)
class StructureScore:
    """One structure in one case.

    `presence` is the share of slices, along the direction in which the truth was acquired, in which result and truth
    agree on whether the structure is there at all; a single image is one slice. The others are NaN where the truth
    lacks the structure; where the result lacks it the first three are 0, and the Hausdorff distance infinite.
    """

    dice: float
    iou: float
    surface_dice: float
    hd95_mm: float
    presence: float

    @property
    def missed(self) -> bool:
        """Tell whether the truth has it and the result has not."""
        return math.isinf(self.hd95_mm)

    def to_json(self) -> dict[str, float | None]:
        """Return the metrics in plain JSON types; NaN and infinity are None."""
        return {name: json_number(getattr(self, name)) for name in METRICS}


@dataclass(frozen=True)
class CaseScore:
    """The scores of a pair, by the name of each structure that result or truth has; `true` names the truth's."""

    pair: Pair
    structures: dict[str, StructureScore]
    true: frozenset[str]


@dataclass(frozen=True)
class StructureSummary:
    """One structure over all subjects: each metric, the cases whose truth has it, and those that missed it."""

    metrics: dict[str, Interval]
    cases: int
    missed: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        metrics = {name: interval.to_json() for name, interval in self.metrics.items()}
        return {"cases": self.cases, "missed": self.missed, **metrics}


@dataclass(frozen=True)
class CohortReport:
    """All cases, and their summary; structures that no truth has are only named, as `extra`."""

    cases: tuple[CaseScore, ...]
    structures: dict[str, StructureSummary]
    mean: dict[str, Interval]
    extra: tuple[str, ...] = ()
    tolerance_mm: float = TOLERANCE_MM
    subjects: int = field(default=0)

    def to_json(self) -> dict[str, Any]:
        """Return `{"subjects", "tolerance_mm", "structures", "mean", "cases", "extra"}` in plain JSON types."""
        return {
            "subjects": self.subjects,
            "tolerance_mm": self.tolerance_mm,
            "structures": {name: one.to_json() for name, one in self.structures.items()},
            "mean": {name: interval.to_json() for name, interval in self.mean.items()},
            "cases": [
                {
                    "name": case.pair.name,
                    "subject": case.pair.subject,
                    "labels": {name: score.to_json() for name, score in case.structures.items()},
                }
                for case in self.cases
            ],
            "extra": list(self.extra),
        }


def evaluate_pairs(
    pairs: Sequence[Pair],
    table: LabelTable,
    *,
    tolerance_mm: float = TOLERANCE_MM,
    seed: int = 0,
    progress: Counted | None = None,
    notify: Callable[[str], None] | None = None,
) -> CohortReport:
    """Read and score all pairs; one case at a time is in memory.

    Args:
        pairs: results with their truths.
        table: the known structures.
        tolerance_mm: of the surface Dice.
        seed: of the confidence intervals.
        progress: called as (cases done, cases in all, name of the case).
        notify: told what had to be mended in a file.

    Raises:
        VolumeError: if a file cannot be read.
        LabelError: if one holds nothing known, or no truth holds any structure.
    """
    cases = []
    for pair in pairs:
        prediction, truth = read_pair(pair, table, notify)
        cases.append(score_case(pair, prediction, truth, tolerance_mm))
        if progress is not None:
            progress(len(cases), len(pairs), pair.name)
    return summarised(cases, tolerance_mm, seed)


def read_pair(pair: Pair, table: LabelTable, notify: Callable[[str], None] | None = None) -> tuple[Volume, NamedLabels]:
    """Return a result, in the values that its truth has for the same names, and the truth.

    What only the result names is added to the truth's table. `notify` is told what the readers had to mend.
    """
    truth = read_named_labels(pair.truth, table, ids=pair.ids)
    # A truth without a numbering says nothing about a spine: then the result need not either.
    ids = pair.prediction_ids or (pair.ids if pair.ids in {"none", "any"} else None)
    given = read_named_labels(pair.prediction, table, ids=ids, default="samspine")
    if notify is not None:
        for text in (*given.notices, *truth.notices):
            notify(text)
    if given.table is truth.table:
        return given.volume, truth
    values = {label.name: label.value for label in truth.table}
    present = labels_in(given.volume, given.table)
    unknown = [label for label in present if label.name not in values]
    free = max(values.values(), default=0) + 1
    added = [replace(label, value=free + number) for number, label in enumerate(unknown)]
    values |= {label.name: label.value for label in added}
    lookup = np.zeros(1 + max((label.value for label in present), default=0), np.uint16)
    for label in present:
        lookup[label.value] = values[label.name]
    prediction = replace(given.volume, array=lookup[given.volume.array])
    return prediction, replace(truth, table=LabelTable([*truth.table, *added]))


def score_case(pair: Pair, prediction: Volume, truth: NamedLabels, tolerance_mm: float = TOLERANCE_MM) -> CaseScore:
    """Score every structure that result or truth has, in the truth's grid.

    Args:
        pair: whose they are.
        prediction: label map (K, J, I), on any grid, with the truth's values.
        truth: label map (K, J, I) with its names; it may be empty.
        tolerance_mm: of the surface Dice.
    """
    grid = truth.volume.grid
    wanted = LabelMap(whole_labels(truth.volume, "truth"), grid)
    given = LabelMap(sample_labels(whole_labels(prediction, "prediction"), prediction.grid, grid), grid)
    axis = cuts_of(grid)[0].axis
    names = {label.value: label.name for label in truth.table}
    spacing = [float(s) for s in grid.spacing[::-1]]
    scores = {}
    for value in sorted({*wanted.boxes, *given.boxes}):
        a, b = wanted.crops(value, given)
        there = _presence(a, b, axis, grid.shape[axis])
        scored = (dice(a, b), iou(a, b), surface_dice(a, b, spacing, tolerance_mm), hausdorff95(a, b, spacing))
        absent = (math.nan,) * 4
        scores[names.get(value, str(value))] = StructureScore(*(scored if value in wanted.boxes else absent), there)
    return CaseScore(pair, scores, frozenset(names.get(value, str(value)) for value in wanted.boxes))


def _presence(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_], axis: int, count: int) -> float:
    """Return the share of `count` slices in which two masks, cropped to where either is, agree on being there."""
    others = tuple(one for one in range(3) if one != axis)
    differ = int(np.count_nonzero(a.any(axis=others) != b.any(axis=others)))
    return 1.0 - differ / count


def summarised(cases: Sequence[CaseScore], tolerance_mm: float = TOLERANCE_MM, seed: int = 0) -> CohortReport:
    """Return the means over subjects with their confidence intervals, of each structure and over structures.

    A structure that neither result nor truth of a case has is right about its presence there. The mean over structures
    is taken in each case first.

    Raises:
        LabelError: if no truth holds any structure.
    """
    known = list(dict.fromkeys(name for case in cases for name in case.structures if name in case.true))
    if not known:
        msg = "No truth holds any structure, so there is nothing to score: give label maps with at least one"
        raise LabelError(msg)
    structures = {name: _summary(name, cases, seed) for name in known}
    mean = {
        metric: interval_over_subjects(((case.pair.subject, _case_mean(case, known, metric)) for case in cases), seed)
        for metric in METRICS
    }
    extra = dict.fromkeys(name for case in cases for name in case.structures if name not in structures)
    subjects = len({case.pair.subject for case in cases})
    return CohortReport(tuple(cases), structures, mean, tuple(extra), tolerance_mm, subjects)


def _summary(name: str, cases: Sequence[CaseScore], seed: int) -> StructureSummary:
    found = [case.structures[name] for case in cases if name in case.true]
    metrics = {
        metric: interval_over_subjects(((case.pair.subject, value_of(case, name, metric)) for case in cases), seed)
        for metric in METRICS
    }
    return StructureSummary(metrics, len(found), sum(score.missed for score in found))


def value_of(case: CaseScore, name: str, metric: str) -> float:
    """Return a metric of a structure in a case; NaN where there is nothing to score."""
    score: Mapping[str, StructureScore] = case.structures
    if name in score:
        return float(getattr(score[name], metric))
    return 1.0 if metric == "presence" else math.nan


def _case_mean(case: CaseScore, names: Sequence[str], metric: str) -> float:
    return mean_of([value_of(case, name, metric) for name in names])
