"""The interactive door: one volume being segmented, one prompt at a time.

session = Session(build_promptable())
session.set_volume(read_volume(path))
session.select(spine_labels().by_name("L3"))
update = session.add(Point((10.0, -20.0, 30.0)))   # the crop that changed
session.undo()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.cache import EncodedCache, PatchStore
from SAMSpineLib.engine.earlier import Earlier, earlier_of, loaded_extents
from SAMSpineLib.engine.history import History, LabelState, Step
from SAMSpineLib.engine.memory import Found, Notify, attempt, emptied
from SAMSpineLib.engine.painting import inner_slices, union
from SAMSpineLib.engine.patches import PatchReader
from SAMSpineLib.engine.selection import Selection
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.engine.slice_answer import SliceAnswer
from SAMSpineLib.engine.slices import SliceReader
from SAMSpineLib.engine.slices_ahead import SlicesAhead
from SAMSpineLib.engine.stack_walk import StackWalk
from SAMSpineLib.engine.steps import LabelMap, all_settled, check_inside, keep_earlier, restoring
from SAMSpineLib.errors import LabelError, PromptError
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.models.protocols import Promptable
from SAMSpineLib.progress import Counted
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Extent, Volume, slices_of

# What a network finds by itself: slices, or a mask.
OwnAccord = Sequence[SliceAnswer] | Earlier
NOWHERE: Extent = (0, -1, 0, -1, 0, -1)


class Session(Selection):
    """Segment one volume label by label; every step can be undone and returns what it changed.

    A step is done wholly or not at all. Where memory runs out it is tried again with the cache emptied; if that is not
    enough it raises EngineError, and everything is as it was before.
    """

    def __init__(
        self,
        model: Promptable,
        settings: EngineSettings | None = None,
        *,
        notify: Notify | None = None,
        store: PatchStore | None = None,
    ) -> None:
        """Answer prompts with `model`; `notify` is told when memory ran out and the cache was emptied.

        Sessions that are given one `store` share its patches and its bound of memory, whatever their models are.
        """
        super().__init__()
        self._notify = notify or (lambda _text: None)
        self.model = model
        self.settings = settings or EngineSettings()
        self.cache = EncodedCache(model, limit_bytes=self.settings.cache_bytes, store=store)
        self._ahead = SlicesAhead(self.settings.slices_ahead)
        self._history = History(limit_bytes=self.settings.undo_bytes)
        self._states: dict[int, LabelState] = {}
        self._volume: Volume | None = None
        self._loaded: dict[int, Extent] = {}
        self._map: LabelMap = np.zeros((0, 0, 0), np.uint16)

    def set_volume(self, volume: Volume, labels: npt.NDArray[np.integer] | None = None) -> None:
        """Open a volume, with nothing segmented or with an earlier label map (K, J, I) to go on with.

        Raises:
            LabelError: if the label map has another shape than the volume.
        """
        if labels is not None and labels.shape != volume.shape:
            msg = f"An earlier result of shape {labels.shape} does not fit the volume of shape {volume.shape}"
            raise LabelError(msg)

        def begin() -> tuple[LabelMap, dict[int, Extent]]:
            if labels is None:
                return np.zeros(volume.shape, np.uint16), {}
            earlier = labels.astype(np.uint16)
            return earlier, loaded_extents(earlier)

        self._map, self._loaded = self.attempt(begin)
        self._ahead.stop()
        self._volume = volume
        self._history.clear()
        self._states.clear()

    def attempt(self, work: Callable[[], Found]) -> Found:
        """Return what some work gives; where memory runs out, at a second try with the cache emptied.

        Raises:
            EngineError: if memory is still not enough.
        """
        return attempt(work, emptied(self.cache.make_room), self._notify)

    @property
    def volume(self) -> Volume:
        """The open volume.

        Raises:
            PromptError: if there is none.
        """
        if self._volume is None:
            msg = "No volume is open: call set_volume first"
            raise PromptError(msg)
        return self._volume

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Prompts of the selected label, in order."""
        return self._state.prompts

    def all_prompts(self) -> dict[int, tuple[Prompt, ...]]:
        """Return the prompts of every label by its value, in order."""
        return {value: state.prompts for value, state in self._states.items() if state.prompts}

    @property
    def result(self) -> LabelMap:
        """The label map (K, J, I) on the volume's grid; a read-only view."""
        view = self._map.view()
        view.flags.writeable = False
        return view

    def mask(self, value: int) -> npt.NDArray[np.uint8]:
        """Return one label's mask (K, J, I) of 0 and 1."""
        return np.asarray(self._map == value, dtype=np.uint8)

    def quality(self, value: int) -> float | None:
        """Return the Dice that the model expects of a label (0..1), or None where it was not prompted."""
        return self._states.get(value, LabelState()).quality

    def add(self, prompt: Prompt) -> MaskUpdate:
        """Add a prompt for the selected label and return what changed.

        Raises:
            PromptError: if the prompt lies outside the volume.
        """
        check_inside(prompt, self.volume.grid)
        state = self.attempt(lambda: self._answered(self._begun(self._state), prompt))
        return self.attempt(lambda: self._commit(state))

    def add_all(
        self, orders: Mapping[Label, Sequence[Prompt]], *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Prompt several labels and let them settle what more than one of them claims; return what changed.

        Each label is one step to undo. Labels that had prompts before keep them and take part in the settlement only
        with what is new. If anything is raised on the way, also by `progress`, the labels that were answered by then
        are settled and kept before it goes on.

        Args:
            orders: prompts of each label, in their order.
            progress: called as (labels done, labels in all, name of the label).

        Raises:
            PromptError: if a prompt lies outside the volume; nothing is changed then.
        """
        for prompts in orders.values():
            for prompt in prompts:
                check_inside(prompt, self.volume.grid)
        states: dict[Label, LabelState] = {}
        updates: list[MaskUpdate] = []
        try:
            for label, prompts in orders.items():
                self.select(label)
                state = self.attempt(partial(self._begun, self._state))
                for prompt in prompts:
                    state = self.attempt(partial(self._answered, state, prompt))
                states[label] = state
                if progress is not None:
                    progress(len(states), len(orders), label.name)
        finally:
            for label, state in self.attempt(lambda: all_settled(states)).items():
                self.select(label)
                updates.append(self.attempt(partial(self._commit, state)))
        return tuple(updates)

    def follows(self, value: int) -> bool:
        """Tell whether a label can be followed from a prompted slice; see `propagate`."""
        return any(one.prompted for one in self._states.get(value, LabelState()).slices)

    def next_candidate(self) -> MaskUpdate:
        """Take the next of the masks that were offered on the slice that was prompted last; undo takes it back.

        Raises:
            PromptError: if no slice of the selected label was prompted.
        """
        prompted = [one for one in self._state.slices if one.prompted]
        if not prompted:
            msg = f"{self.label.name} has no prompted slice, and so no other masks to choose from: prompt one first"
            raise PromptError(msg)
        last = prompted[-1]
        slices = tuple(one for one in self._state.slices if one is not last)
        state = replace(self._state, slices=(*slices, last.next()))
        return self.attempt(lambda: self._commit(state))

    def propagate(
        self, labels: Sequence[Label] | None = None, *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Follow labels from their prompted slices through the stack, all of them at once; return what changed.

        What was followed before stays where nothing beside it has changed. Each label is one step to undo. If anything
        is raised on the way, also by `progress`, what was found by then is kept before it goes on.

        Args:
            labels: which; the selected one where None.
            progress: called as (slices done, slices in all, names of the labels).

        Raises:
            PromptError: if a label has no prompted slice, as with a network that sees cubes.
        """
        chosen = {label.value: label for label in (labels if labels is not None else (self.label,))}
        states = {value: self._states.get(value, LabelState()) for value in chosen}
        reader = self._reader
        unprompted = [value for value, state in states.items() if not any(one.prompted for one in state.slices)]
        if unprompted or not isinstance(reader, SliceReader):
            name = chosen[next(iter(unprompted or chosen))].name
            msg = f"{name} cannot be followed: prompt it in a slice first, with a network that works slice by slice"
            raise PromptError(msg)
        walk, updates = StackWalk(reader, states), []
        names = ", ".join(label.name for label in chosen.values())
        try:
            walk.run(lambda done: progress(done, walk.steps, names) if progress is not None else None)
        finally:
            for value, state in walk.states().items():
                self.select(chosen[value], overwrite=self._overwrite)
                updates.append(self.attempt(partial(self._commit, state)))
        return tuple(updates)

    def place(self, found: Mapping[Label, OwnAccord]) -> tuple[MaskUpdate, ...]:
        """Take what a network has found by itself for labels instead of what these had; return what changed.

        Each label is one step to undo; prompts correct its slices, or go on from its mask.
        """
        updates = []
        for label, one in found.items():
            self.select(label)
            state = LabelState(earlier=one) if isinstance(one, Earlier) else LabelState(slices=tuple(one))
            also = union(self._loaded.get(label.value), one.extent if isinstance(one, Earlier) else None)
            updates.append(self.attempt(partial(self._commit, state, also=also)))
        return tuple(updates)

    def remove(self, prompt: Prompt) -> MaskUpdate:
        """Take one prompt of the selected label back, as if it had never been given.

        Raises:
            PromptError: if the label has no such prompt.
        """
        if prompt not in self._state.prompts:
            msg = f"{self.label.name} has no such prompt to remove: {prompt}"
            raise PromptError(msg)
        kept = list(self._state.prompts)
        kept.remove(prompt)
        state = LabelState(earlier=self._state.earlier)
        for other in kept:
            state = self.attempt(partial(self._answered, state, other))
        return self.attempt(lambda: self._commit(state))

    def clear(self) -> MaskUpdate:
        """Remove the selected label's prompts and voxels."""
        return self.attempt(lambda: self._commit(LabelState(), also=self._loaded.get(self.label.value)))

    def undo(self) -> MaskUpdate:
        """Take back the last step of any label; nothing changes if there is none."""
        step = self._history.to_undo
        if step is None:
            return MaskUpdate.nothing(0, "There is nothing to undo")
        update = self.attempt(lambda: restoring(step, step.before, step.state_before))
        self._history.undo()
        self._restore(step, step.before, step.state_before)
        return update

    def redo(self) -> MaskUpdate:
        """Do again what `undo` took back; nothing changes if there is nothing."""
        step = self._history.to_redo
        if step is None:
            return MaskUpdate.nothing(0, "There is nothing to redo")
        update = self.attempt(lambda: restoring(step, step.after, step.state_after))
        self._history.redo()
        self._restore(step, step.after, step.state_after)
        return update

    @property
    def _state(self) -> LabelState:
        return self._states.get(self.label.value, LabelState())

    def _begun(self, state: LabelState) -> LabelState:
        """Return the selected label's state with the voxels it had before its first prompt."""
        if state.prompts or state.slices or state.earlier is not None:
            return state
        value = self.label.value
        return replace(state, earlier=earlier_of(self._map, value, self._loaded.get(value), self.volume.grid))

    @property
    def _reader(self) -> PatchReader | SliceReader:
        """What turns prompts into answers and answers into voxels, as the network works."""
        slicewise = self.model.slicewise
        if slicewise is not None:
            return SliceReader(slicewise, self.cache, self.volume)
        return PatchReader(self.model, self.cache, self.volume, self.settings)

    def _answered(self, state: LabelState, prompt: Prompt) -> LabelState:
        """Return the label's state after one more prompt."""
        reader = self._reader
        after = reader.answered(state, prompt, self.label)
        if isinstance(reader, SliceReader) and after.slices and self.settings.slices_ahead:
            self._ahead.around(reader, after.slices[-1].stack, after.slices[-1].index)
        return after

    def _commit(self, state: LabelState, *, also: Extent | None = None) -> MaskUpdate:
        """Write a label's new mask into the label map, remember the step, and return the crop.

        Only what can have changed is painted anew, and `also`. There, voxels of the label are replaced; those of an
        earlier result only within its patches. The map changes at the very end: what fails before has changed nothing.
        """
        value = self.label.value
        before = self._states.get(value, LabelState())
        new = self._reader.repaint(before, state)
        state = replace(state, painted=new.painted)
        extent = union(also, new.extent) or NOWHERE
        before_it = self._map[slices_of(extent)].copy()
        crop = before_it.copy()
        crop[crop == value] = 0
        keep_earlier(crop, extent, state, value)
        lost: tuple[int, ...] = ()
        if new.marked is not None:
            lost = self._paint(crop[inner_slices(new.marked[1], extent)], new.marked[0], value)
        message = "" if new.painted is not None else f"{self.label.name} is empty now"
        update = MaskUpdate(value, (crop == value).astype(np.uint8), extent, lost, state.grids, message)
        self._history.push(Step(value, extent, before_it, crop, before, state))
        self._map[slices_of(extent)] = crop
        self._states[value] = state
        return update

    def _paint(self, target: LabelMap, mask: npt.NDArray[np.bool_], value: int) -> tuple[int, ...]:
        """Set a label's voxels; other labels keep theirs unless overwriting was asked for. Return who lost voxels."""
        if not self._overwrite:
            target[mask & (target == 0)] = value
            return ()
        lost = np.unique(target[mask])
        target[mask] = value
        return tuple(int(one) for one in lost if one not in (0, value))

    def _restore(self, step: Step, voxels: LabelMap, state: LabelState) -> None:
        self._map[slices_of(step.extent)] = voxels
        self._states[step.label] = state
