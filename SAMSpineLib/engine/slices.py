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
from SAMSpineLib.engine.painting import clicked_voxels, inner_slices, joined, meeting, union
from SAMSpineLib.engine.repaint import Repaint
from SAMSpineLib.engine.slice_answer import Mask, SliceAnswer
from SAMSpineLib.labels import Label
from SAMSpineLib.models.protocols import Encoded, SlicePromptable
from SAMSpineLib.prompts import Box, Lasso, MaskPrompt, Point, Prompt, Scribble, anchor, is_negative
from SAMSpineLib.resampling import sample
from SAMSpineLib.stack import Stack, stack_along
from SAMSpineLib.volume import Extent, Grid, Volume

# Logits of what an earlier result says for certain.
CERTAIN = 10.0
# Clicks count on their neighbours too, of this many slices and no further away than this (mm): of slices that were
# corrected. A slice's only click, in its middle, says nothing new on the next one; where a mask was wrong on one slice
# it will be wrong on the next one too. What that brings: `python -m Benchmarks.neighbours`.
NEIGHBOURS, NEAR_MM = 2, 6.5


@dataclass(frozen=True)
class SliceReader:
    """Reads one volume with one model."""

    model: SlicePromptable
    cache: EncodedCache
    volume: Volume

    def answered(self, state: LabelState, prompt: Prompt, label: Label) -> LabelState:
        """Return a label's state after one more prompt: the answer on its slice is new, all others stay."""
        prompts = (*state.prompts, prompt)
        stack = self.stack_of(prompt)
        stack = next((one.stack for one in reversed(state.slices) if one.stack.parallel(stack)), stack)
        index = _fullest(prompt, stack) if isinstance(prompt, MaskPrompt) else stack.index_at(anchor(prompt))
        before = next((one for one in state.slices if one.lies_at(stack, index)), None)
        encoded = self.encoded(stack, index)
        so_far = self._so_far(state, before, prompt, encoded)
        if is_negative(prompt) and so_far is None:
            return replace(state, prompts=prompts)
        here = [one for one in prompts if self._speaks_in(one, stack)]
        if isinstance(prompt, Point):
            here = [*self._from_neighbours(prompts, stack, index), *here]
        masks = self.model.offer(encoded, here, previous=so_far, label=label.value)
        found = SliceAnswer(stack, index, masks, self.volume.grid)
        # Only the slice that was prompted last offers its other masks: see `Session.next_candidate`.
        others = [one.without_others() for one in state.slices if one is not before]
        return replace(state, prompts=prompts, slices=(*others, found))

    def repaint(self, before: LabelState, state: LabelState) -> Repaint:
        """Return what a label's new state paints anew: the slices and clicked voxels that differ from the one before.

        A voxel that was clicked is marked as the click said, whatever the network thinks.
        """
        clicks = _clicks(self.volume.grid, state)
        extents = [one.marked[1] for one in state.slices if one.marked is not None]
        painted = joined(extents, [voxel for voxel, positive in clicks if positive])
        extent = _changed(before, state, union(before.painted, painted))
        former = dict(_clicks(self.volume.grid, before)).items()
        for (k, j, i), _ in former ^ dict(clicks).items():
            extent = union(extent, (i, i, j, j, k, k))
        if extent is None or painted is None:
            return Repaint(extent, painted, None)
        return Repaint(extent, painted, (self._marked(state, extent), extent))

    def _marked(self, state: LabelState, extent: Extent) -> Mask:
        """Return a label's mask (K, J, I) in an extent of the volume."""
        place = self.volume.grid.crop(extent)
        mask = np.zeros(place.shape, bool)
        crossing = _crossing(state.slices)
        for one in state.slices:
            reach = meeting(one.reach, extent) if crossing and one.reach is not None else None
            if reach is not None:
                seen = sample(
                    np.ones(one.grid.shape, np.uint8), one.grid, self.volume.grid.crop(reach), fill=0, order=0
                )
                mask[inner_slices(reach, extent)] &= seen == 0
            shared = meeting(one.marked[1], extent) if one.marked is not None else None
            if one.marked is not None and shared is not None:
                mask[inner_slices(shared, extent)] |= one.marked[0][inner_slices(shared, one.marked[1])]
        for (k, j, i), positive in _clicks(self.volume.grid, state):
            if meeting((i, i, j, j, k, k), extent) is not None:
                mask[k - extent[4], j - extent[2], i - extent[0]] = positive
        return mask

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

    def _from_neighbours(self, prompts: Sequence[Prompt], stack: Stack, index: int) -> list[Point]:
        """Return the clicks of corrected slices near another one, moved into that one."""
        views = {one.normal for one in prompts if isinstance(one, Point)}
        here = {view for view in views if stack_along(self.volume.grid, view).parallel(stack)}
        points = [one for one in prompts if isinstance(one, Point) and one.normal in here]
        clicks: dict[int, list[Point]] = {}
        for point, k in zip(points, stack.indices_at(np.array([one.ras for one in points])).tolist(), strict=True):
            clicks.setdefault(k, []).append(point)
        reach = NEAR_MM / float(np.linalg.norm(stack.step))
        near = [k for k, said in clicks.items() if k != index and len(said) > 1 and abs(k - index) <= reach]
        nearest = sorted(near, key=lambda k: abs(k - index))[:NEIGHBOURS]
        return [_moved(one, stack.step * (index - k)) for k in nearest for one in clicks[k]]

    def _speaks_in(self, prompt: Prompt, stack: Stack) -> bool:
        """Tell whether a prompt means something in a stack's slices: places do anywhere, outlines only in their own."""
        if isinstance(prompt, (Point, Scribble, MaskPrompt)):
            return True
        flat = isinstance(prompt, Box) and prompt.normal is None and min(_sides(prompt)) > 0
        return flat or self.stack_of(prompt).parallel(stack)


def _moved(point: Point, by: npt.NDArray[np.float64]) -> Point:
    x, y, z = (np.asarray(point.ras) + by).tolist()
    return replace(point, ras=(x, y, z))


def _sides(box: Box) -> Sequence[float]:
    return [b - a for a, b in zip(box.corner_a, box.corner_b, strict=True)]


def _fullest(prompt: MaskPrompt, stack: Stack) -> int:
    """Return the slice in which a mask is largest."""
    kji = np.argwhere(np.asarray(prompt.mask) > 0.5)
    if not len(kji):
        return stack.index_at(anchor(prompt))
    found = stack.indices_at(prompt.grid.to_ras(kji[:, ::-1]))
    return int(np.bincount(found).argmax())


def _clicks(grid: Grid, state: LabelState) -> list[tuple[tuple[int, int, int], bool]]:
    """Return the voxels (k, j, i) that clicks settle, in their order: none before there is a slice."""
    return clicked_voxels(grid, state.prompts) if state.slices else []


def _crossing(slices: Sequence[SliceAnswer]) -> bool:
    """Tell whether some slices belong to more than one stack."""
    stacks = list({id(one.stack): one.stack for one in slices}.values())
    return any(not one.parallel(stacks[0]) for one in stacks[1:])


def _changed(before: LabelState, state: LabelState, within: Extent | None) -> Extent | None:
    """Return where a label may look different from before; outside `within` it marks nothing, before and after."""
    old, new = set(before.slices), set(state.slices)
    crossing = _crossing(state.slices)
    everywhere = before.earlier is not None and before.earlier is not state.earlier
    everywhere |= bool(before.slices and state.slices) and crossing != _crossing(before.slices)
    # Where slices cross, what counts is their order.
    everywhere |= [one for one in before.slices if one in new] != [one for one in state.slices if one in old]
    for earlier in (before.earlier, state.earlier):
        within = union(within, earlier.extent if earlier is not None else None)
    if everywhere or within is None:
        return within
    extent: Extent | None = None
    for one in old ^ new:
        if crossing or state.earlier is not None:  # it rules out what others say, or said, as far as it reaches
            extent = union(extent, meeting(one.reach, within) if one.reach is not None else None)
        else:
            extent = union(extent, one.marked[1] if one.marked is not None else None)
    return extent
