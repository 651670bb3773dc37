"""What a network said on one slice, and which voxels that marks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from SAMSpineLib.models.protocols import SliceMasks
from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import Stack
from SAMSpineLib.volume import Extent, Grid

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SliceAnswer:
    """The masks offered on a slice.

    Two of them are equal if one is the other, or the other without the masks that do not count: see `without_others`.

    Attributes:
        stack: the slices that it is one of.
        index: which of them.
        masks: what was offered.
        place: the volume's grid.
        chosen: the mask that counts.
        prompted: whether somebody prompted there; else it was followed from other slices.
    """

    stack: Stack = field(repr=False)
    index: int
    masks: SliceMasks = field(repr=False)
    place: Grid = field(repr=False)
    chosen: int = 0
    prompted: bool = True
    _said: object = field(default_factory=object, init=False, repr=False)

    def __eq__(self, other: object) -> bool:
        """Tell whether the other one says the same."""
        return isinstance(other, SliceAnswer) and self._said is other._said

    def __hash__(self) -> int:
        """Return what equal ones share."""
        return hash(self._said)

    @property
    def grid(self) -> Grid:
        """Where the slice lies: (1, h, w)."""
        return self.masks.grid

    @property
    def logits(self) -> npt.NDArray[np.float16]:
        """The mask that counts (h, w); above 0 is inside."""
        mask: npt.NDArray[np.float16] = self.masks.logits[self.chosen]
        return mask

    @property
    def quality(self) -> float:
        """The IoU that the network expects of it (0..1)."""
        return self.masks.scores[self.chosen]

    @property
    def nbytes(self) -> int:
        """Memory of the masks, and of the voxels that they mark where these were asked for."""
        marked = self.__dict__.get("marked")
        return self.masks.nbytes + (marked[0].nbytes if marked is not None else 0)

    def lies_at(self, stack: Stack, index: int) -> bool:
        """Tell whether this is a slice of a stack."""
        return self.index == index and self.stack.parallel(stack)

    def next(self) -> SliceAnswer:
        """Return the same slice with the next mask chosen, the first again after the last."""
        return replace(self, chosen=(self.chosen + 1) % len(self.masks.scores))

    def without_others(self) -> SliceAnswer:
        """Return the same answer with nothing but the mask that counts, for a slice that is done with."""
        if len(self.masks.scores) == 1:
            return self
        one = slice(self.chosen, self.chosen + 1)
        # A mask that the user chose is remembered as a mask, not by the prompts that offered it: see `Tracker.learn`.
        asked = self.masks.asked if self.chosen == 0 else None
        masks = replace(self.masks, logits=self.masks.logits[one].copy(), scores=self.masks.scores[one], asked=asked)
        found = replace(self, masks=masks, chosen=0)
        # What marks the same voxels need not be marked again.
        vars(found).update({name: vars(self)[name] for name in ("_said", "reach", "marked") if name in vars(self)})
        return found

    @cached_property
    def reach(self) -> Extent | None:
        """The voxels of the volume that lie in it; None where there are none."""
        return self.place.extent_of(self.grid)

    @cached_property
    def marked(self) -> tuple[Mask, Extent] | None:
        """The voxels of the volume that it marks: mask (K, J, I) and extent; None where there are none."""
        rows, columns = (np.flatnonzero((self.logits > 0).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        # One value more all around: between it and the last one inside lies the border.
        (top, bottom), (left, right) = (
            (max(int(one[0]) - 1, 0), min(int(one[-1]) + 1, size - 1))
            for one, size in zip((rows, columns), self.logits.shape, strict=True)
        )
        inner = self.grid.crop((left, right, top, bottom, 0, 0))
        extent = self.place.extent_of(inner)
        if extent is None:
            return None
        values = self.logits[None, top : bottom + 1, left : right + 1].astype(np.float32)
        return np.asarray(sample(values, inner, self.place.crop(extent), fill=-1.0) > 0), extent


# Two prompted slices that follow each other in a stack; None where a stack has no more on that side.
Gap = tuple[SliceAnswer | None, SliceAnswer | None]
