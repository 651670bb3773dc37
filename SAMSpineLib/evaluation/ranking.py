"""Which unlabelled scan to label next: the one that a taught model is least sure of.

The gain expected of a scan is the sum of two doubts, each from 0 to 1, so that neither outweighs the other:

- whether the structure is there: the mean over the slices of the binary entropy of its presence probability, in bits
  (uncertainty sampling, Lewis and Gale 1994, SIGIR). 0 where every slice is certain, 1 where each is a coin's toss.
- where it is: 1 - the mean Dice between each two masks that the model makes of the scan under small changes of it
  (query by committee, Seung et al. 1992, COLT, with test-time augmentation in place of a committee). 0 where the masks
  are the same, 1 where no two of them share a voxel. Two empty masks agree: that nothing is there was said twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import PromptError, VolumeError
from SAMSpineLib.evaluation.metrics import dice
from SAMSpineLib.progress import Counted
from SAMSpineLib.volume import Volume


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a model thinks of one structure in one scan.

    Attributes:
        presence: probability (slices,) that the structure is in a slice, along the stack.
        masks: what it marks (K, J, I) under each change of the scan, each brought back to the scan's own grid.
    """

    presence: npt.NDArray[np.floating[Any]] = field(repr=False)
    masks: Sequence[npt.NDArray[Any]] = field(repr=False)


class Opinionated(Protocol):
    """What can be asked about a scan; a model that was taught a structure is one."""

    def opinion(self, volume: Volume, /) -> Opinion:
        """Return the presence of the structure along the slices, and its masks under augmentation."""


@dataclass(frozen=True)
class Rank:
    """A scan and the gain expected of labelling it (0..2): the two doubts (0..1) that it is the sum of."""

    name: str
    presence: float
    disagreement: float

    @property
    def gain(self) -> float:
        """The sum of both doubts."""
        return self.presence + self.disagreement

    def to_json(self) -> dict[str, Any]:
        """Return name, gain and the two doubts."""
        doubts = {"presence": round(self.presence, 5), "disagreement": round(self.disagreement, 5)}
        return {"name": self.name, "gain": round(self.gain, 5), **doubts}


def rank_scans(model: Opinionated, scans: Iterable[Volume], progress: Counted | None = None) -> tuple[Rank, ...]:
    """Return scans in the order in which they should be labelled; equal ones keep their order.

    Scans may come from a generator: one at a time is in memory.

    Args:
        model: whatever gives opinions.
        scans: unlabelled volumes; each is known by its name.
        progress: called as (scans done, scans in all, name of the scan); in all is 0 where nobody knows.

    Raises:
        VolumeError: if there are no scans.
        PromptError: if an opinion cannot be used (see `rank`).
    """
    known = len(scans) if isinstance(scans, Sequence) else 0
    ranks = []
    for done, scan in enumerate(scans, start=1):
        ranks.append(rank(scan.name, model.opinion(scan)))
        if progress is not None:
            progress(done, known, scan.name)
    if not ranks:
        msg = "There are no scans to rank: give a folder with at least one image"
        raise VolumeError(msg)
    return tuple(sorted(ranks, key=lambda one: -one.gain))


def rank(name: str, opinion: Opinion) -> Rank:
    """Return the gain expected of a scan.

    Raises:
        PromptError: if presence holds anything but probabilities, or there are fewer than two masks.
        GeometryError: if the masks differ in shape.
    """
    presence = np.asarray(opinion.presence, np.float64)
    if presence.ndim != 1 or not presence.size or not ((presence >= 0) & (presence <= 1)).all():
        msg = f"The presence of a structure in '{name}' must be a probability (0..1) for each slice, got {presence}"
        raise PromptError(msg)
    if len(opinion.masks) < 2:
        msg = f"Ranking '{name}' takes at least two masks to compare, got {len(opinion.masks)}"
        raise PromptError(msg)
    return Rank(name, float(np.mean(entropy_bits(presence))), _disagreement(opinion.masks))


def entropy_bits(probability: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the entropy (bits, 0..1) of a yes or no of given probability; 0 where it is certain."""
    sure = np.asarray(probability, np.float64)
    result = np.zeros_like(sure)
    for part in (sure, 1 - sure):
        positive = part > 0  # the limit of p log p at 0 is 0
        result[positive] -= part[positive] * np.log2(part[positive])
    return result


def _disagreement(masks: Sequence[npt.NDArray[Any]]) -> float:
    """Return 1 - the mean Dice of each two masks (K, J, I); two empty ones agree."""
    scores = [dice(a, b) for a, b in combinations(masks, 2)]
    return 1.0 - float(np.mean([1.0 if np.isnan(score) else score for score in scores]))
