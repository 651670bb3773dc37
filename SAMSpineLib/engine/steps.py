"""What a session's steps do to labels and voxels, apart from the session itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.contest import settled, settled_slices
from SAMSpineLib.engine.history import LabelState, Step
from SAMSpineLib.engine.painting import inner_slices
from SAMSpineLib.errors import PromptError
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.prompts import Prompt, anchor
from SAMSpineLib.volume import Extent, Grid

LabelMap = npt.NDArray[np.uint16]


def restoring(step: Step, voxels: LabelMap, state: LabelState) -> MaskUpdate:
    """Return what changes when a step's voxels (K, J, I) before or after it are put back."""
    changed = step.before != step.after
    others = {*np.unique(step.before[changed]).tolist(), *np.unique(step.after[changed]).tolist()} - {0, step.label}
    visited = state.grids
    mask = (voxels == step.label).astype(np.uint8)
    return MaskUpdate(step.label, mask, step.extent, tuple(sorted(others)), visited)


def all_settled(states: Mapping[Label, LabelState]) -> dict[Label, LabelState]:
    """Return the states of labels with contested places given to one of them."""
    answers = settled({label.value: state.answers for label, state in states.items()})
    slices = settled_slices({label.value: state.slices for label, state in states.items()})
    return {
        label: replace(state, answers=answers[label.value], slices=slices[label.value])
        for label, state in states.items()
    }


def keep_earlier(crop: LabelMap, extent: Extent, state: LabelState, value: int) -> None:
    """Set, in a crop of the label map, the voxels of an earlier result that lie in no patch."""
    kept = state.earlier.beyond(state.grids, extent) if state.earlier is not None else None
    if kept is not None:
        target = crop[inner_slices(kept[1], extent)]
        target[kept[0] & (target == 0)] = value


def check_inside(prompt: Prompt, grid: Grid) -> None:
    """Refuse a prompt that does not touch the volume.

    Raises:
        PromptError: saying where the prompt lies and where the volume does.
    """
    if any(grid.voxel_at(place) is not None for place in prompt.places):
        return
    corners = grid.corners()
    low, high = corners.min(axis=0).round(1).tolist(), corners.max(axis=0).round(1).tolist()
    msg = (
        f"The {type(prompt).__name__.lower()} at {tuple(round(x, 1) for x in anchor(prompt))} lies outside the volume, "
        f"which reaches from {tuple(low)} to {tuple(high)} (R, A, S in mm)"
    )
    raise PromptError(msg)
