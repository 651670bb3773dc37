"""Prompts answered patch by patch, by a network that sees cubes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.border import settled_border
from SAMSpineLib.engine.cache import EncodedCache
from SAMSpineLib.engine.history import LabelState
from SAMSpineLib.engine.merging import PatchAnswer, covered, merge
from SAMSpineLib.engine.painting import Mask, painted, union
from SAMSpineLib.engine.propagation import Walk, Walker
from SAMSpineLib.engine.repaint import Repaint
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.labels import Label
from SAMSpineLib.models.protocols import Probability, Promptable
from SAMSpineLib.prompts import MaskPrompt, Prompt, anchor, is_negative
from SAMSpineLib.volume import Extent, Grid, Volume, slices_of


@dataclass(frozen=True)
class PatchReader:
    """Reads one volume with one model."""

    model: Promptable
    cache: EncodedCache
    volume: Volume
    settings: EngineSettings

    def answered(self, state: LabelState, prompt: Prompt, label: Label) -> LabelState:
        """Return the label's state after one more prompt."""
        prompts = (*state.prompts, prompt)
        walker = Walker(self.model, self.cache, self.volume, self.settings, label.joins_levels)
        home = _home(state.answers, prompt)
        if home is not None:
            # A mask is a new start: the answer so far would only stand in its way.
            previous = None if isinstance(prompt, MaskPrompt) else home.probability
            found = walker.answer(home.grid, prompts, previous=previous)
            answers = tuple(found if answer is home else answer for answer in state.answers)
        else:
            grid = self.model.grid_at(anchor(prompt), self.volume)
            previous = None if isinstance(prompt, MaskPrompt) else _known(state, grid)
            if is_negative(prompt) and not self._marks(previous, grid, prompt):
                return replace(state, prompts=prompts)
            found = walker.answer(grid, prompts, previous=previous)
            if previous is None and not label.whole:
                found = walker.recentred(found, prompts)
            answers = (*state.answers, found)
        limit = self.settings.max_patches_large if label.whole else self.settings.max_patches
        walk = walker.walk(Walk(answers, state.refused), found, prompts, limit=limit)
        return replace(state, prompts=prompts, answers=walk.answers, refused=walk.refused)

    def repaint(self, before: LabelState, state: LabelState) -> Repaint:
        """Return what a label's new state paints anew: all that it had and has marked."""
        found = self._marked(state) if state.answers else None
        extent = union(before.painted, found[1] if found is not None else None)
        if before.earlier is not None or state.earlier is not None:
            for grid in (*before.grids, *state.grids):
                extent = union(extent, self.volume.grid.extent_of(grid))
        return Repaint(extent, found[1] if found is not None else None, found)

    def _marked(self, state: LabelState) -> tuple[Mask, Extent] | None:
        """Return a label's mask (K, J, I), cropped to its extent in the volume, or None where nothing is marked."""
        probability, lattice = merge(state.answers)
        return painted(
            probability,
            lattice,
            self.volume.grid,
            state.prompts,
            threshold=self.settings.threshold,
            settle=self._settled,
        )

    def _settled(self, mask: npt.NDArray[np.bool_], extent: Extent) -> npt.NDArray[np.bool_]:
        """Let the image of a CT settle where a mask's border lies; other modalities have no scale to tell bone by."""
        share = self.settings.border_share
        if share is None or self.volume.modality != "CT":
            return mask
        spacing = self.volume.grid.spacing[::-1]
        return settled_border(mask, self.volume.array[slices_of(extent)], spacing, share=share)

    def _marks(self, known: Probability | None, grid: Grid, prompt: Prompt) -> bool:
        """Tell whether a prompt lies on what is known to belong to the label."""
        voxel = grid.voxel_at(anchor(prompt))
        return known is not None and voxel is not None and bool(known[voxel] > self.settings.threshold)


def _known(state: LabelState, grid: Grid) -> Probability | None:
    """Return what answers, and an earlier result where they do not reach, say on a patch; None if they say nothing."""
    earlier = state.earlier.on(grid) if state.earlier is not None else None
    if not state.answers:
        return earlier if earlier is not None and earlier.any() else None
    known, _ = merge(state.answers, grid)
    if earlier is None:
        return known
    return np.where(covered(state.answers, grid), known, earlier).astype(np.float32)


def _home(answers: tuple[PatchAnswer, ...], prompt: Prompt) -> PatchAnswer | None:
    """Return the patch in which a prompt lies deepest, prompted ones first; None if it is in none."""
    place = anchor(prompt)
    best, best_depth = None, (False, 4.0)
    for answer in answers:
        ijk = answer.grid.to_ijk(place)
        last = np.array(answer.grid.shape[::-1]) - 1
        depth = float(np.minimum(ijk, last - ijk).min())
        rank = (answer.prompted and depth > 4.0, depth)
        if depth > 4.0 and rank > best_depth:
            best, best_depth = answer, rank
    return best
