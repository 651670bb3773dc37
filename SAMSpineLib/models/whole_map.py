"""What a network makes of a whole volume by itself, and how good it thinks that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

LabelMap = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class WholeMap:
    """A label map of a volume.

    Attributes:
        labels: (K, J, I) values of labels, 0 where nothing is found.
        quality: for each value that is found the Dice (0..1) that is to be expected if the network's scores are
            probabilities.
    """

    labels: LabelMap = field(repr=False)
    quality: Mapping[int, float]


class Tally:
    """Adds up, slice by slice, what the Dice to be expected takes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._voxels: dict[int, float] = defaultdict(float)
        self._inside: dict[int, float] = defaultdict(float)
        self._claimed: dict[int, float] = defaultdict(float)

    def add(self, named: LabelMap, scores: Iterable[tuple[int, npt.NDArray[np.floating[Any]]]]) -> None:
        """Count a slice: its labels (H, W), and the scores (H, W; 0..1) of some of them by their value."""
        for value, score in scores:
            if value:
                mask = named == value
                self._voxels[value] += float(mask.sum())
                self._inside[value] += float(score[mask].sum())
                self._claimed[value] += float(score.sum())

    def expected(self) -> dict[int, float]:
        """Return the Dice to be expected of each value that any voxel has.

        A voxel's score is its chance of being right: of what is marked, scores tell how much is right, and all scores
        together how much there is to mark.
        """
        return {
            value: min(2 * self._inside[value] / (voxels + self._claimed[value]), 1.0)
            for value, voxels in self._voxels.items()
            if voxels
        }
