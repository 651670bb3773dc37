"""Neighbours that were segmented one by one settle what both have claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from SAMSpineLib.engine.merging import PatchAnswer, merge
from SAMSpineLib.models.protocols import Probability
from SAMSpineLib.volume import Grid

Answers = Mapping[int, tuple[PatchAnswer, ...]]


def settled(answers: Answers) -> dict[int, tuple[PatchAnswer, ...]]:
    """Return each label's answers with contested voxels given to the label that is likelier there.

    Where two labels together claim more than a whole voxel, each keeps its share of the claim: they meet at one half,
    on one surface between voxels, and nothing is left between them.

    Args:
        answers: of each label, all on one lattice.
    """
    return {
        value: tuple(replace(one, probability=_share(one, _rivals(answers, value, one.grid))) for one in mine)
        for value, mine in answers.items()
    }


def _rivals(answers: Answers, value: int, grid: Grid) -> Probability:
    """Return the largest probability (K, J, I) that any other label has on a grid."""
    largest = np.zeros(grid.shape, np.float32)
    for other, theirs in answers.items():
        near = [answer for answer in theirs if grid.extent_of(answer.grid) is not None]
        if other != value and near:
            np.maximum(largest, merge(near, grid)[0], out=largest)
    return largest


def _share(answer: PatchAnswer, rival: Probability) -> Probability:
    """Return a probability, reduced where it and its rival's add up to more than 1."""
    share: Probability = answer.probability / np.maximum(answer.probability + rival, np.float32(1.0))
    return share
