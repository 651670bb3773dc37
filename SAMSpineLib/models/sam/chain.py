"""Through a stack with SAM, which remembers nothing: the mask of a slice and the box around it prompt the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from SAMSpineLib.models.protocols import Encoded, SliceMasks
from SAMSpineLib.models.sam.backbone import Pixels, SlicePrompts
from SAMSpineLib.models.sam.prompting import STRIDE, box_around

if TYPE_CHECKING:
    from SAMSpineLib.models.sam.promptable import SamPromptable

# A structure may grow by this share of its size from one slice to the next, and by two values of a mask at least.
GROWTH = 0.05
# Below these a mask is of something else: the IoU that SAM expects of it, and its IoU with that of the slice before.
LEAST_SCORE, LEAST_OVERLAP = 0.5, 0.3
# What SAM is told of the mask before: with less certainty than it was found, for it has to change.
MOST_LOGIT = 8.0


class MaskChain:
    """Follow one structure from mask to mask; see `Tracker`."""

    def __init__(self, model: SamPromptable) -> None:
        """Ask a model."""
        self._model = model
        self._known: dict[int, Pixels] = {}

    def learn(self, index: int, encoded: Encoded, masks: SliceMasks, chosen: int) -> None:  # noqa: ARG002
        """Take the mask of a prompted slice."""
        self._known[index] = masks.logits[chosen].astype(np.float32)

    def follow(self, index: int, encoded: Encoded, *, backwards: bool) -> SliceMasks | None:
        """Return the mask of the next slice, or None where it ends; see `Tracker.follow`."""
        before = self._known.get(index + 1 if backwards else index - 1)
        if before is None or not (before > 0).any():
            return None
        found = self._model.ask(encoded, SlicePrompts(box=_grown(before), mask=before.clip(-MOST_LOGIT, MOST_LOGIT)))
        mask, was = found.logits[0] > 0, before > 0
        overlap = float((mask & was).sum()) / max(float((mask | was).sum()), 1.0)
        if found.scores[0] < LEAST_SCORE or overlap < LEAST_OVERLAP:
            return None
        self._known[index] = found.logits[0].astype(np.float32)
        return found


def _grown(logits: Pixels) -> Pixels:
    """Return the box around a mask with room to grow."""
    box = box_around(logits)
    room = np.maximum((box[2:] - box[:2]) * GROWTH, 2 * STRIDE)
    return np.concatenate([box[:2] - room, box[2:] + room]).astype(np.float32)
