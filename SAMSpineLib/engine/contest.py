"""Neighbours that were segmented one by one settle what both have claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.merging import PatchAnswer, merge
from SAMSpineLib.engine.painting import meeting
from SAMSpineLib.engine.slice_answer import SliceAnswer
from SAMSpineLib.models.protocols import Probability
from SAMSpineLib.resampling import sample
from SAMSpineLib.volume import Grid

Answers = Mapping[int, tuple[PatchAnswer, ...]]
Slices = Mapping[int, tuple[SliceAnswer, ...]]
Logits = npt.NDArray[np.float32]

# Logits of what nobody claims, and a step that half precision shows.
NOBODY, STEP = -1024.0, 2.0**-10


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


def settled_slices(slices: Slices) -> dict[int, tuple[SliceAnswer, ...]]:
    """Return each label's slices with contested places given to the label that is surer there.

    Two labels contest a place where their logits add up to more than 0, as their probabilities then do to more than 1.
    There each keeps half of the difference: they meet where they are equally sure, and nothing is left between them.
    Where they are equally sure over an area, the lower value has it. Slices of different directions contest the places
    where they cross.

    Args:
        slices: of each label.
    """
    return {value: tuple(_kept(one, value, slices) for one in mine) for value, mine in slices.items()}


def _kept(one: SliceAnswer, value: int, slices: Slices) -> SliceAnswer:
    """Return a slice with the mask that counts reduced by what other labels claim on it."""
    logits = one.logits.astype(np.float32)
    lower = _claimed(one, [other for other in slices if other < value], slices)
    higher = _claimed(one, [other for other in slices if other > value], slices)
    share = (logits - np.maximum(lower, higher)) / 2
    share[share == 0] = STEP
    share[(logits == lower) & (lower >= higher)] = -STEP
    masks = one.masks.logits.copy()
    masks[one.chosen] = np.minimum(logits, share)
    if np.array_equal(masks, one.masks.logits):
        return one
    return replace(one, masks=replace(one.masks, logits=masks))


def _claimed(one: SliceAnswer, values: list[int], slices: Slices) -> Logits:
    """Return the largest logits (h, w) that some labels have at the places of a slice's mask."""
    largest = np.full(one.logits.shape, NOBODY, np.float32)
    for other in (other for value in values for other in slices[value]):
        if one.reach is not None and other.reach is not None and meeting(one.reach, other.reach) is not None:
            found = sample(other.logits[None].astype(np.float32), other.grid, one.grid, fill=NOBODY)
            np.maximum(largest, found[0], out=largest)
    return largest
