"""Were the levels found, and named right: a spine that is segmented well but numbered one level off is told apart.

Levels are the vertebrae, sacrum and coccyx. As in VerSe (Sekuboyina et al., Medical Image Analysis 2021, "VerSe: A
vertebrae labelling and segmentation benchmark"), the rate and the distance are over the vertebrae alone. Only what the
truth labels is scored: a prediction may know more of the spine than somebody had the time to label.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import GeometryError, LabelError
from SAMSpineLib.evaluation.metrics import dice, identified, json_number, mean_of
from SAMSpineLib.evaluation.report import LabelMap
from SAMSpineLib.labels import Label, LabelTable
from SAMSpineLib.volume import Grid, slices_of

WITHIN_MM = 20.0
_VERTEBRAE = ("cervical", "thoracic", "lumbar")
_NOT_VERTEBRAE = ("sacral", "coccygeal")

Centres = Mapping[int, npt.ArrayLike]
LabelArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class LevelScore:
    """One level of the truth.

    Attributes:
        value: label value.
        vertebra: False for sacrum and coccyx.
        identified: found and named, by VerSe's rule.
        distance_mm: from the true centre to that of the same name; infinite where that name was not predicted.
        called: the name that the vertebra found here was given; None where none was found.
        dice: with the prediction of the same name; NaN where only centres were given.
        dice_any_name: with the predicted level that fits best, whatever its name; NaN where only centres were given.
    """

    value: int
    vertebra: bool
    identified: bool
    distance_mm: float
    called: str | None
    dice: float = math.nan
    dice_any_name: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """Return the fields in plain JSON types; NaN and infinity are None."""
        return {k: json_number(v) if isinstance(v, float) else v for k, v in vars(self).items()}


@dataclass(frozen=True)
class IdentificationReport:
    """How the levels of a truth were found and named.

    Attributes:
        levels: the truth's levels by name, head to foot.
        shift: by how many levels the predicted names must move towards the feet (negative: the head) for most of them
            to be right; 0 where they are, and where nothing was found.
        beyond: predicted levels outside of what the truth labels, head to foot; neither right nor wrong.
        false_positives: predicted levels where the truth has another vertebra, or none between labelled ones.
    """

    levels: dict[str, LevelScore]
    shift: int
    beyond: tuple[str, ...]
    false_positives: tuple[str, ...]

    @property
    def identification_rate(self) -> float:
        """Share (0..1) of the truth's vertebrae that are identified; NaN if it has none."""
        return mean_of([float(row.identified) for row in self.levels.values() if row.vertebra])

    @property
    def localisation_mm(self) -> float:
        """Mean distance (mm) of equally named centres, over the vertebrae predicted; NaN if there is none."""
        return mean_of([row.distance_mm for row in self.levels.values() if row.vertebra])

    @property
    def dice(self) -> float:
        """Mean Dice over the truth's levels under their names; a missing one counts 0."""
        return mean_of([row.dice for row in self.levels.values()])

    @property
    def dice_any_name(self) -> float:
        """Mean Dice over the truth's levels with whatever fits best: found, regardless of its name."""
        return mean_of([row.dice_any_name for row in self.levels.values()])

    def to_json(self) -> dict[str, Any]:
        """Return levels, means, shift and the names beyond the truth in plain JSON types; NaN and infinity are None."""
        means = ("identification_rate", "localisation_mm", "dice", "dice_any_name")
        return {
            "levels": {name: row.to_json() for name, row in self.levels.items()},
            "mean": {name: json_number(getattr(self, name)) for name in means},
            "shift": self.shift,
            "beyond": list(self.beyond),
            "false_positives": list(self.false_positives),
        }


def is_vertebra(label: Label) -> bool:
    """Tell whether a label is a single vertebra, C1 to L5, or one of the variants T13 and L6."""
    return label.group.removesuffix(" variant") in _VERTEBRAE


def score_centres(predicted: Centres, truth: Centres, table: LabelTable) -> IdentificationReport:
    """Score centres (RAS mm) by label value against true ones; values that are no level are left out.

    Raises:
        LabelError: if the truth has no level.
    """
    found, wanted = _levels(predicted, table), _levels(truth, table)
    if not wanted:
        msg = "The truth holds no vertebra, sacrum or coccyx, so there is nothing to identify: give one with levels"
        raise LabelError(msg)
    pairs, named = _pairs(found, wanted), identified(found, wanted, within_mm=WITHIN_MM)
    rows = {}
    for value, centre in wanted.items():
        label = table.by_value(value)
        rows[label.name] = LevelScore(
            value=value,
            vertebra=is_vertebra(label),
            identified=named[value],
            distance_mm=float(np.linalg.norm(found[value] - centre)) if value in found else math.inf,
            called=table.by_value(pairs[value]).name if value in pairs else None,
        )
    extra = [value for value in found if value not in wanted]
    beyond = [v for v in extra if v not in pairs.values() and _lies_beyond(found[v], list(wanted.values()))]
    return IdentificationReport(
        rows,
        _shift(pairs, table),
        tuple(table.by_value(v).name for v in beyond),
        tuple(table.by_value(v).name for v in extra if v not in beyond),
    )


def score_labels(prediction: LabelArray, truth: LabelArray, grid: Grid, table: LabelTable) -> IdentificationReport:
    """Score a label map (K, J, I) against a true one on the same grid, by centres of gravity and by overlap.

    Raises:
        GeometryError: if one of the two does not fit the grid.
        LabelError: if the truth has no level.
    """
    for what, array in (("prediction", prediction), ("truth", truth)):
        if array.shape != grid.shape:
            msg = f"The {what} of shape {array.shape} does not fit the grid of shape {grid.shape}: resample it first"
            raise GeometryError(msg)
    given, wanted = LabelMap(prediction, grid), LabelMap(truth, grid)
    report = score_centres(given.centroids(), wanted.centroids(), table)
    rows = {name: _with_dice(row, given, wanted, table) for name, row in report.levels.items()}
    return replace(report, levels=rows)


def _with_dice(row: LevelScore, given: LabelMap, wanted: LabelMap, table: LabelTable) -> LevelScore:
    """Add the overlaps of one level of the truth."""
    touched = np.unique(given.array[slices_of(wanted.boxes[row.value])]).tolist()
    scores = {value: _dice_of(given, value, wanted, row.value) for value in _level_values(touched, table)}
    return replace(row, dice=scores.get(row.value, 0.0), dice_any_name=max(scores.values(), default=0.0))


def _dice_of(given: LabelMap, found: int, wanted: LabelMap, value: int) -> float:
    boxes = np.array([given.boxes[found], wanted.boxes[value]])
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    where = slices_of((low[0], high[1], low[2], high[3], low[4], high[5]))
    return dice(given.array[where] == found, wanted.array[where] == value)


def _levels(centres: Centres, table: LabelTable) -> dict[int, npt.NDArray[np.float64]]:
    """Keep the centres of levels, head to foot."""
    return {value: np.asarray(centres[value], dtype=np.float64) for value in _level_values(centres, table)}


def _level_values(values: Iterable[int], table: LabelTable) -> list[int]:
    """Keep vertebrae, sacrum and coccyx, head to foot: the table lists them, and the variants T13 and L6, in order."""
    kept = set(values)
    return [one.value for one in table if one.value in kept and (is_vertebra(one) or one.group in _NOT_VERTEBRAE)]


def _pairs(found: Centres, wanted: Centres) -> dict[int, int]:
    """Return for each true value the predicted value of the same vertebra: each is the other's closest, within 20 mm.

    Closest both ways, so that a missed vertebra is not taken for its neighbour.
    """
    if not found:
        return {}
    names, values = list(found), list(wanted)
    apart = np.linalg.norm(
        np.array([wanted[v] for v in values])[:, None] - np.array([found[n] for n in names])[None], axis=-1
    )
    closest, back = apart.argmin(axis=1), apart.argmin(axis=0)
    return {
        value: names[int(column)]
        for row, (value, column) in enumerate(zip(values, closest, strict=True))
        if back[column] == row and apart[row, column] <= WITHIN_MM
    }


def _shift(pairs: Mapping[int, int], table: LabelTable) -> int:
    """Return the step along the levels that makes most predicted names the true ones; of equals the smallest."""
    steps = (_step(table.by_value(name), table.by_value(value), table) for value, name in pairs.items())
    votes = Counter(step for step in steps if step is not None)
    return max(votes, key=lambda step: (votes[step], -abs(step)), default=0)


def _step(name: Label, truth: Label, table: LabelTable) -> int | None:
    """Return how many levels the true name lies below a given one; None if no walk joins the two.

    `next_level` steps over variants unless one stands on them, so a T13 that was called L1 is found only by walking
    from the truth to the name.
    """
    for step in range(-len(table), len(table) + 1):
        if table.next_level(name, step) == truth or table.next_level(truth, -step) == name:
            return step
    return None


def _lies_beyond(place: npt.NDArray[np.float64], labelled: list[npt.NDArray[np.float64]]) -> bool:
    """Tell whether a centre lies above the first or below the last of the labelled centres (RAS mm, head to foot).

    Of one labelled level alone everything else is beyond.
    """
    if len(labelled) == 1:
        return True
    ends = ((labelled[0], labelled[1]), (labelled[-1], labelled[-2]))
    return any(float((place - end) @ (end - inner)) > 0 for end, inner in ends)
