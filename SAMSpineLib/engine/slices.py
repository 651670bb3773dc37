"""Prompts answered slice by slice, in whichever direction they were drawn.

Each slice has an answer of its own. A prompt speaks in the slice that it was drawn in (`normal`; the slices that were
acquired where it does not say), and a click also in every other slice that it lies in. Where slices cross, the one that
was prompted last is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.cache import EncodedCache
from SAMSpineLib.engine.history import LabelState
from SAMSpineLib.engine.painting import clicked_voxels, joined
from SAMSpineLib.engine.slice_answer import Mask, SliceAnswer
from SAMSpineLib.labels import Label
from SAMSpineLib.models.protocols import Encoded, SlicePromptable
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Prompt, Scribble, anchor, is_negative
from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import Stack, stack_along
from SAMSpineLib.volume import Extent, Volume, slices_of

# Logits of what an earlier result says for certain.
CERTAIN = 10.0


@dataclass(frozen=True)
class SliceReader:
    """Reads one volume with one model."""

    model: SlicePromptable
    cache: EncodedCache
    volume: Volume

    def answered(self, state: LabelState, prompt: Prompt, _label: Label) -> LabelState:
        """Return a label's state after one more prompt: the answer on its slice is new, all others stay."""
        prompts = (*state.prompts, prompt)
        stack = self.stack_of(prompt)
        index = _fullest(prompt, stack) if isinstance(prompt, MaskPrompt) else stack.index_at(anchor(prompt))
        before = next((one for one in state.slices if one.lies_at(stack, index)), None)
        encoded = self.encoded(stack, index)
        so_far = self._so_far(state, before, prompt, encoded)
        if is_negative(prompt) and so_far is None:
            return replace(state, prompts=prompts)
        here = [one for one in prompts if self._speaks_in(one, stack)]
        masks = self.model.offer(encoded, here, previous=so_far)
        found = SliceAnswer(stack, index, masks, self.volume.grid)
        return replace(state, prompts=prompts, slices=(*(one for one in state.slices if one is not before), found))

    def marked(self, state: LabelState) -> tuple[Mask, Extent] | None:
        """Return a label's mask (K, J, I), cropped to its extent in the volume, or None where nothing is marked.

        A voxel that was clicked is marked as the click said, whatever the network thinks.
        """
        clicks = clicked_voxels(self.volume.grid, state.prompts) if state.slices else []
        extents = [one.marked[1] for one in state.slices if one.marked is not None]
        extent = joined(extents, [voxel for voxel, positive in clicks if positive])
        if extent is None:
            return None
        place, mask = self.volume.grid.crop(extent), np.zeros(self.volume.grid.crop(extent).shape, bool)
        crossing = any(not one.stack.parallel(state.slices[0].stack) for one in state.slices)
        for one in state.slices:
            reach = place.extent_of(one.grid) if crossing else None
            if reach is not None:
                seen = sample(np.ones(one.grid.shape, np.uint8), one.grid, place.crop(reach), fill=0, order=0)
                mask[slices_of(reach)] &= seen == 0
            if one.marked is not None:
                mask[_inside(one.marked[1], extent)] |= one.marked[0]
        for (k, j, i), positive in clicks:
            if positive or (
                extent[0] <= i <= extent[1] and extent[2] <= j <= extent[3] and extent[4] <= k <= extent[5]
            ):
                mask[k - extent[4], j - extent[2], i - extent[0]] = positive
        return mask, extent

    def stack_of(self, prompt: Prompt) -> Stack:
        """Return the slices that a prompt was drawn in."""
        return stack_along(self.volume.grid, None if isinstance(prompt, MaskPrompt) else prompt.normal)

    def encoded(self, stack: Stack, index: int) -> Encoded:
        """Return a slice, from memory if it was encoded before."""
        return self.cache.get(self.volume, self.model.slice_grid(stack, index))

    def holds(self, stack: Stack, index: int) -> bool:
        """Tell whether a slice is encoded already, or just being encoded."""
        return self.cache.holds(self.volume, self.model.slice_grid(stack, index))

    def _so_far(
        self, state: LabelState, before: SliceAnswer | None, prompt: Prompt, encoded: Encoded
    ) -> npt.NDArray[np.floating] | None:
        """Return the logits (h, w) of the mask so far, from the slice's answer or from an earlier result."""
        if isinstance(prompt, MaskPrompt) or (isinstance(prompt, Lasso) and prompt.positive):
            return None  # A mask is a new start: the answer so far would only stand in its way.
        if before is not None:
            return before.logits
        if state.earlier is None:
            return None
        grid = self.model.mask_grid(encoded)
        share = state.earlier.on(grid)[0]
        return (2 * share - 1) * np.float32(CERTAIN) if (share > 0.5).any() else None

    def _speaks_in(self, prompt: Prompt, stack: Stack) -> bool:
        """Tell whether a prompt means something in a stack's slices: places do anywhere, outlines only in their own."""
        if isinstance(prompt, (Point, Scribble, MaskPrompt)):
            return True
        flat = isinstance(prompt, Box) and prompt.normal is None and min(_sides(prompt)) > 0
        return flat or self.stack_of(prompt).parallel(stack)


def _sides(box: Box) -> Sequence[float]:
    return [b - a for a, b in zip(box.corner_a, box.corner_b, strict=True)]


def _fullest(prompt: MaskPrompt, stack: Stack) -> int:
    """Return the slice in which a mask is largest."""
    kji = np.argwhere(np.asarray(prompt.mask) > 0.5)
    if not len(kji):
        return stack.index_at(anchor(prompt))
    found = stack.indices_at(prompt.grid.to_ras(kji[:, ::-1]))
    return int(np.bincount(found).argmax())


def _inside(inner: Extent, outer: Extent) -> tuple[slice, slice, slice]:
    """Return where an extent lies in the crop of another one."""
    i, j, k = outer[::2]
    return slices_of((inner[0] - i, inner[1] - i, inner[2] - j, inner[3] - j, inner[4] - k, inner[5] - k))
