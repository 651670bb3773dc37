"""Undo and redo, bit for bit: each step keeps the crop it changed, before and after."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.earlier import Earlier
from SAMSpineLib.engine.merging import PatchAnswer
from SAMSpineLib.engine.slice_answer import Gap, SliceAnswer
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Extent, Grid


@dataclass(frozen=True)
class LabelState:
    """What a session knows of one label.

    Its prompts in order, the answers they led to, the patches that a walk found to contradict them (and need not visit
    again), the extent of the mask that came of them, and the voxels that it had before the first prompt, if an earlier
    result is being gone on with. Where the network works slice by slice, there are `slices` instead of answers, those
    that were prompted last at the end, and the gaps between prompted slices that have been `walked`.
    """

    prompts: tuple[Prompt, ...] = ()
    answers: tuple[PatchAnswer, ...] = field(default=(), repr=False)
    refused: tuple[Grid, ...] = field(default=(), repr=False)
    painted: Extent | None = None
    earlier: Earlier | None = None
    slices: tuple[SliceAnswer, ...] = field(default=(), repr=False)
    walked: tuple[Gap, ...] = field(default=(), repr=False)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """What the network has looked at: patches or slices."""
        return (*(answer.grid for answer in self.answers), *(answer.grid for answer in self.slices))

    @property
    def quality(self) -> float | None:
        """The worst of what the network expects of its answers (0..1), of prompted ones if it works in slices.

        Before there is any, what was expected of the mask that was there before them.
        """
        patches = [answer.quality for answer in self.answers]
        slices = [answer.quality for answer in self.slices if answer.prompted]
        return min((*patches, *slices), default=self.earlier.quality if self.earlier is not None else None)


@dataclass(frozen=True, eq=False)
class Step:
    """One change of the label map (crops K, J, I) and of one label's state."""

    label: int
    extent: Extent
    before: npt.NDArray[np.uint16] = field(repr=False)
    after: npt.NDArray[np.uint16] = field(repr=False)
    state_before: LabelState
    state_after: LabelState

    @property
    def nbytes(self) -> int:
        """Memory of both crops, and of the answers that only this step still knows: those that it replaced."""
        before, after = self.state_before, self.state_after
        patches = set(before.answers).difference(after.answers)
        known = {id(one) for one in after.slices}  # not those that are equal: they hold less
        slices = [one for one in before.slices if id(one) not in known]
        answers = sum(one.probability.nbytes for one in patches) + sum(one.nbytes for one in slices)
        return self.before.nbytes + self.after.nbytes + answers


class History:
    """The steps that can be undone and those that can be redone."""

    def __init__(self, *, limit_bytes: int) -> None:
        """Keep steps within a memory bound; the oldest is forgotten first, the newest never."""
        self._limit = limit_bytes
        self._nbytes = 0
        self._sizes: dict[Step, int] = {}
        self._done: deque[Step] = deque()
        self._undone: list[Step] = []

    def push(self, step: Step) -> None:
        """Add a step; what had been undone is gone."""
        while self._undone:
            self._nbytes -= self._sizes.pop(self._undone.pop())
        self._done.append(step)
        self._sizes[step] = step.nbytes
        self._nbytes += self._sizes[step]
        while len(self._done) > 1 and self._nbytes > self._limit:
            self._nbytes -= self._sizes.pop(self._done.popleft())

    @property
    def nbytes(self) -> int:
        """Memory of all steps, on top of what is needed now."""
        return self._nbytes

    @property
    def to_undo(self) -> Step | None:
        """The step that `undo` would take back."""
        return self._done[-1] if self._done else None

    @property
    def to_redo(self) -> Step | None:
        """The step that `redo` would bring back."""
        return self._undone[-1] if self._undone else None

    def undo(self) -> Step | None:
        """Take back the newest step, or None."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Step | None:
        """Bring back the newest undone step, or None."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]

    def clear(self) -> None:
        """Forget all steps."""
        self._done.clear()
        self._undone.clear()
        self._sizes.clear()
        self._nbytes = 0
