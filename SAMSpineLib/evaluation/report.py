"""Score a finished segmentation against a truth, label by label."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.errors import LabelError
from SAMSpineLib.evaluation.metrics import (
    centroid,
    dice,
    hausdorff95,
    identified,
    json_number,
    mean_of,
    surface_dice,
    volume_cm3,
)
from SAMSpineLib.labels import Label
from SAMSpineLib.resampling import sample_labels
from SAMSpineLib.volume import Extent, Grid, Volume, slices_of

MAX_LABEL = 65535


@dataclass(frozen=True)
class LabelScore:
    """One label of the truth: agreement, distances (mm), volumes (cm^3), and whether it was found and named."""

    value: int
    dice: float
    nsd_2mm: float
    hd95_mm: float
    truth_cm3: float
    prediction_cm3: float
    centroid_mm: float
    identified: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields in plain JSON types; NaN and infinity are None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class EvaluationReport:
    """The scores by label name, and the names of what the prediction holds beyond the truth."""

    labels: dict[str, LabelScore]
    extra: tuple[str, ...] = ()

    def mean(self) -> dict[str, float]:
        """Return the mean over labels; a missed label counts as Dice 0, and not at all in distances."""
        rows = list(self.labels.values())
        names = ("dice", "nsd_2mm", "hd95_mm", "centroid_mm")
        result = {name: mean_of([getattr(row, name) for row in rows]) for name in names}
        return {**result, "identification_rate": mean_of([float(row.identified) for row in rows])}

    @property
    def missed(self) -> tuple[str, ...]:
        """Names of the labels of which the prediction has no voxel in the truth's field of view."""
        return tuple(name for name, row in self.labels.items() if math.isinf(row.hd95_mm))

    def to_json(self) -> dict[str, Any]:
        """Return `{"labels": {name: {...}}, "mean": {...}, "missed": [...], "extra": [...]}` in plain JSON types."""
        return {
            "labels": {name: row.to_json() for name, row in self.labels.items()},
            "mean": {name: json_number(value) for name, value in self.mean().items()},
            "missed": list(self.missed),
            "extra": list(self.extra),
        }


def evaluate(prediction: Volume, truth: Volume, table: Iterable[Label] = ()) -> EvaluationReport:
    """Score each label of the truth in the truth's grid.

    The prediction may lie on another grid; it is brought onto the truth's by nearest neighbour, except that
    `prediction_cm3` is measured where it lies. Labels that the truth does not hold cannot be scored, because nobody
    looked for them there; they are listed in `extra`.

    Args:
        prediction: integer label map (K, J, I).
        truth: integer label map (K, J, I), with at least one label.
        table: gives values their names; a value that it does not know is named by its number.

    Raises:
        LabelError: if one of the two is not a map of whole numbers, or the truth is empty.
    """
    wanted = LabelMap(whole_labels(truth, "truth"), truth.grid)
    native = LabelMap(whole_labels(prediction, "prediction"), prediction.grid)
    if not wanted.boxes:
        msg = "The truth holds no label at all, so there is nothing to score: give a label map with at least one"
        raise LabelError(msg)
    given = LabelMap(sample_labels(native.array, native.grid, wanted.grid), wanted.grid)
    names = {label.value: label.name for label in table}
    centres, found = wanted.centroids(), given.centroids()
    named = identified(found, centres)
    scores: dict[str, LabelScore] = {}
    for value, centre in centres.items():
        a, b = wanted.crops(value, given)
        spacing = [float(s) for s in wanted.grid.spacing[::-1]]
        scores[names.get(value, str(value))] = LabelScore(
            value=value,
            dice=dice(a, b),
            nsd_2mm=surface_dice(a, b, spacing),
            hd95_mm=hausdorff95(a, b, spacing),
            truth_cm3=wanted.volume_cm3(value),
            prediction_cm3=native.volume_cm3(value),
            centroid_mm=float(np.linalg.norm(found[value] - centre)) if value in found else math.inf,
            identified=named[value],
        )
    extra = tuple(names.get(value, str(value)) for value in native.boxes if value not in wanted.boxes)
    return EvaluationReport(scores, extra)


class LabelMap:
    """A label map with the box of every label, found in one pass, so that no label costs a look at every voxel."""

    def __init__(self, array: npt.NDArray[Any], grid: Grid) -> None:
        """Find the boxes of all positive values in `array` (K, J, I)."""
        self.array, self.grid = array, grid
        found = ndimage.find_objects(array)
        self.boxes = {value: _extent(box) for value, box in enumerate(found, start=1) if box is not None}

    def crops(self, value: int, other: LabelMap) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return one label's mask here and in `other`, a map on the same grid, in the box that holds both."""
        extents = np.array([m.boxes[value] for m in (self, other) if value in m.boxes])
        low, high = extents.min(axis=0), extents.max(axis=0)
        where = slices_of((low[0], high[1], low[2], high[3], low[4], high[5]))
        return self.array[where] == value, other.array[where] == value

    def volume_cm3(self, value: int) -> float:
        """Return one label's volume (cm^3), 0 if it is absent."""
        if value not in self.boxes:
            return 0.0
        return volume_cm3(self.array[slices_of(self.boxes[value])] == value, self.grid)

    def centroids(self) -> dict[int, npt.NDArray[np.float64]]:
        """Return the centres of gravity (RAS mm) of all labels by value."""
        found = ((v, centroid(self.array[slices_of(b)] == v, self.grid.crop(b))) for v, b in self.boxes.items())
        return {value: place for value, place in found if place is not None}


def _extent(box: tuple[slice, slice, slice]) -> Extent:
    k, j, i = box
    return (int(i.start), int(i.stop) - 1, int(j.start), int(j.stop) - 1, int(k.start), int(k.stop) - 1)


def whole_labels(volume: Volume, what: str) -> npt.NDArray[Any]:
    """Return a label map's voxels (K, J, I) as whole numbers.

    Raises:
        LabelError: if they are fractions or out of range; the message says `what` it was.
    """
    array: npt.NDArray[Any] = volume.array
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    whole = array
    if array.dtype.kind == "f":
        # Some tools write label maps as reals; that is harmless as long as the numbers are whole.
        with np.errstate(invalid="ignore"):
            whole = array.astype(np.int32)
        if not np.array_equal(whole, array):
            msg = f"The {what} must be a label map of whole numbers, got fractions: is it a probability or an image?"
            raise LabelError(msg)
    if int(whole.min()) < 0 or int(whole.max()) > MAX_LABEL:
        msg = f"The {what} must be a label map of values 0 to {MAX_LABEL}, got {whole.min()} to {whole.max()}"
        raise LabelError(msg)
    return whole


def _plain(value: float) -> float | bool | int | None:
    return value if isinstance(value, bool | int) else json_number(value)
