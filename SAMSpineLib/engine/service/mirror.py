"""A session as its client knows it: prompts, label map, and how to bring a lost engine back to the same state.

The mirror never touches a wire: what should happen comes as a `Call`, which the owner of a wire sends. Calls are to be
sent one after the other: each takes its number when its request is first asked for, and no number is applied twice.

    mirror = SessionMirror(notify=show_in_status_bar)
    send(mirror.open(volume))
    mirror.select(spine_labels().by_name("L3"))
    update = send(mirror.add(Point((10.0, -20.0, 30.0))))
    mirror.result                      # the label map, kept in step: nothing is transferred
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.fits import AtlasTransform
from SAMSpineLib.engine.autonomous.methods import WITHOUT_PROMPTS
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.selection import Selection
from SAMSpineLib.engine.service.call import Call, Dialogue, Request
from SAMSpineLib.engine.service.protocol import Notify
from SAMSpineLib.engine.service.remote_state import LabelMap, Prompts, RemoteState
from SAMSpineLib.engine.service.upload import Way
from SAMSpineLib.engine.service.wire import Message, label_message, prompt_message, read_error, read_lesson, read_result
from SAMSpineLib.errors import Cancelled, LabelError, PromptError
from SAMSpineLib.labels import Label
from SAMSpineLib.lesson_order import LessonOrder, LessonResult
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import Counted, StageProgress
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Volume


class SessionMirror(Selection):
    """What the client of an engine knows without asking."""

    def __init__(self, *, notify: Notify | None = None, shared_memory: bool = False, compression: int = 1) -> None:
        """Begin without a volume.

        Args:
            notify: is given lines for the user, as when the engine ran out of memory and went on with the CPU.
            shared_memory: hand volumes over in memory; for an engine on the same machine.
            compression: of volumes that are uploaded (zlib, 0 to 9); 0 is best on the same machine.
        """
        super().__init__()
        self.way = Way(shared_memory, compression)
        self.notice = ""  # the last line for the user that came with an answer
        self._tell = notify or (lambda _text: None)
        self._state: RemoteState | None = None

    def _notify(self, text: str) -> None:
        self.notice = text
        self._tell(text)

    # What is known without asking.

    @property
    def is_open(self) -> bool:
        """Tell whether a volume is open."""
        return self._state is not None

    @property
    def volume(self) -> Volume:
        """The open volume.

        Raises:
            PromptError: if there is none.
        """
        return self._open_state.volume

    @property
    def prompts(self) -> Prompts:
        """Prompts of the selected label, in order."""
        return self.prompts_of(self.label.value)

    def prompts_of(self, value: int) -> Prompts:
        """Return the prompts of a label, in order."""
        return self._state.prompts.get(value, ()) if self._state is not None else ()

    @property
    def result(self) -> LabelMap:
        """The label map (K, J, I) on the volume's grid; a read-only view."""
        view = self._state.labels.view() if self._state is not None else np.zeros((0, 0, 0), np.uint16)
        view.flags.writeable = False
        return view

    def mask(self, value: int) -> npt.NDArray[np.uint8]:
        """Return one label's mask (K, J, I) of 0 and 1."""
        return np.asarray(self.result == value, dtype=np.uint8)

    def quality(self, value: int) -> float | None:
        """Return the Dice that the model expects of a label (0..1), or None where it was not prompted."""
        return self._state.quality.get(value) if self._state is not None else None

    def follows(self, value: int) -> bool:
        """Tell whether a label can be followed from a prompted slice."""
        return self._state is not None and self._state.follows.get(value, False)

    @property
    def can_undo(self) -> bool:
        """Tell whether there is a step to take back."""
        return self._state is not None and bool(self._state.log.done)

    @property
    def can_redo(self) -> bool:
        """Tell whether there is a step to bring back."""
        return self._state is not None and bool(self._state.log.undone)

    @property
    def steps_in_effect(self) -> int:
        """Number of steps that a new engine would have to repeat."""
        return len(self._state.log.done) if self._state is not None else 0

    # What asks the engine.

    def open(self, volume: Volume, labels: npt.NDArray[np.integer] | None = None) -> Call[None]:
        """Open a volume, with nothing segmented or with an earlier label map (K, J, I) to go on with.

        Raises:
            LabelError: if the label map has another shape than the volume.
        """
        if labels is not None and labels.shape != volume.shape:
            msg = f"An earlier result of shape {labels.shape} does not fit the volume of shape {volume.shape}"
            raise LabelError(msg)

        def begin() -> Dialogue[None]:
            state, before = RemoteState(volume, labels, self._notify), self._state
            replaces = before.session if before is not None else None
            yield from state.begun(replaces=replaces, way=self.way)
            if before is not None:
                before.closed = True
            self._state = state

        return Call(f"Opening {volume.name}", begin, needs_session=False)

    def add(self, prompt: Prompt) -> Call[MaskUpdate]:
        """Add a prompt for the selected label.

        Raises:
            PromptError: from the call, if the prompt lies outside the volume.
        """
        label, state = self.label, self._open_state
        message = {"action": "add", **self._target(label), "prompt": prompt_message(prompt)}
        return Call(
            f"Adding to {label.name}",
            lambda: state.step(message, label.value, lambda prompts: (*prompts, prompt)),
        )

    def remove(self, prompt: Prompt) -> Call[MaskUpdate]:
        """Take one prompt of the selected label back, as if it had never been given.

        Raises:
            PromptError: if the label has no such prompt.
        """
        label, state, target = self.label, self._open_state, self._target(self.label)

        def begin() -> Dialogue[MaskUpdate]:
            prompts = state.prompts.get(label.value, ())
            if prompt not in prompts:
                msg = f"{label.name} has no such prompt to remove: {prompt}"
                raise PromptError(msg)
            place = prompts.index(prompt)
            message = {"action": "remove", **target, "index": place}
            return (yield from state.step(message, label.value, lambda had: had[:place] + had[place + 1 :]))

        return Call(f"Taking back from {label.name}", begin)

    def clear(self) -> Call[MaskUpdate]:
        """Remove the selected label's prompts and voxels."""
        label, state = self.label, self._open_state
        message = {"action": "clear", **self._target(label)}
        return Call(f"Clearing {label.name}", lambda: state.step(message, label.value, lambda _: ()))

    def next_candidate(self) -> Call[MaskUpdate]:
        """Take the next of the masks that were offered on the slice that was prompted last.

        Raises:
            PromptError: from the call, if no slice of the selected label was prompted.
        """
        label, state = self.label, self._open_state
        message = {"action": "next_candidate", **self._target(label)}
        return Call(f"Another mask of {label.name}", lambda: state.step(message, label.value, lambda had: had))

    def propagate(
        self, labels: Sequence[Label] | None = None, *, progress: Counted | None = None
    ) -> Call[tuple[MaskUpdate, ...]]:
        """Follow labels from their prompted slices through the stack; see `Session.propagate`.

        If `cancel` ends it, its result is what was found by then.
        """
        state, chosen = self._open_state, tuple(labels if labels is not None else (self.label,))
        rows = [label_message(label) for label in chosen]
        message = {"action": "propagate", "labels": rows, "overwrite": self._overwrite}

        def tell(said: Message) -> None:
            if progress is not None:
                progress(said["done"], said["total"], said["name"])

        def begin() -> Dialogue[tuple[MaskUpdate, ...]]:
            updates, told = yield from state.repeatable(message, tell, lambda had: had)
            if told.error is not None:
                error = read_error(told.error, 200)
                if not isinstance(error, Cancelled):
                    raise error
            return updates

        return Call(f"Following {', '.join(label.name for label in chosen)}", begin)

    def undo(self) -> Call[MaskUpdate]:
        """Take back the last step of any label; nothing changes if there is none."""
        state = self._open_state
        return Call("Undoing", lambda: state.back_or_forth("undo"))

    def redo(self) -> Call[MaskUpdate]:
        """Do again what `undo` took back; nothing changes if there is nothing."""
        state = self._open_state
        return Call("Redoing", lambda: state.back_or_forth("redo"))

    def add_all(
        self, orders: Mapping[Label, Sequence[Prompt]], *, progress: Counted | None = None
    ) -> Call[tuple[MaskUpdate, ...]]:
        """Prompt several labels and let them settle what more than one of them claims; see `Session.add_all`.

        If `cancel` ends it, the call raises Cancelled once what was finished is in the label map.
        """
        state = self._open_state
        given = {label.value: tuple(prompts) for label, prompts in orders.items()}
        rows = [
            {"label": label_message(label), "prompts": [prompt_message(one) for one in given[label.value]]}
            for label in orders
        ]

        def tell(said: Message) -> None:
            if progress is not None:
                progress(said["done"], said["total"], said["name"])

        def begin() -> Dialogue[tuple[MaskUpdate, ...]]:
            updates, told = yield from state.job({"action": "add_all", "orders": rows}, tell, given)
            for label in orders:
                if updates and label.value == updates[-1].label:
                    self.select(label)
            if told.error is not None:
                raise read_error(told.error, 200)
            return updates

        return Call("Segmenting", begin)

    def segment_spine(self, *, method: str = "centres", progress: StageProgress | None = None) -> Call[AutoResult]:
        """Find, name and segment every vertebra; see `pipeline.segment_spine`. `cancel` ends it early.

        Args:
            method: `centres`, `atlas`, `ma-sam`, `masksam` or `sam2rad`.
            progress: called with the stage's name and the share (0..1) of the whole run that is done.
        """
        state = self._open_state

        def tell(said: Message) -> None:
            if progress is not None:
                progress(said["name"], said["share"])

        def begin() -> Dialogue[AutoResult]:
            message = {"action": "segment_spine", "method": method}
            if method in WITHOUT_PROMPTS:
                _, told = yield from state.repeatable(message, tell, lambda _: ())
            else:
                _, told = yield from state.job(message, tell)
            if told.result is None:
                raise read_error(told.error, 200)
            return read_result(told.result, state.volume.grid, self.result)

        return Call("Segmenting the spine", begin)

    def teach(self, order: LessonOrder, *, progress: StageProgress | None = None) -> Call[LessonResult]:
        """Teach the engine's SAM; `cancel` ends it, and the best so far is kept. Nothing of the session changes."""
        state, way = self._open_state, self.way

        def tell(said: Message) -> None:
            if progress is not None:
                progress(said["name"], said["share"])

        def begin() -> Dialogue[LessonResult]:
            told = yield from state.taught(order, tell, way=way)
            if told.result is None:
                raise read_error(told.error, 200)
            return read_lesson(told.result)

        return Call(f"Teaching {order.name}", begin)

    def transforms(self, count: int) -> Call[tuple[AtlasTransform, ...]]:
        """Fetch the transforms of the atlases that took part in the last autonomous run.

        Args:
            count: of the `fits` in its result.
        """
        state = self._open_state
        return Call("Fetching the transforms", lambda: state.transforms(count))

    def cancel(self) -> Call[None]:
        """End the long run that is under way now; what it has finished stays. To be sent beside it."""
        return Call("Cancelling", self._open_state.cancelled)

    def close(self) -> Call[None]:
        """Let the engine forget the session; the mirror forgets it at once."""
        state, self._state = self._state, None
        if state is not None:
            state.closed = True

        def begin() -> Dialogue[None]:
            yield Request("DELETE", f"/sessions/{state.session if state is not None else '-'}")

        return Call("Closing", begin, needs_session=False)

    def revive(self) -> Call[tuple[int, ...]]:
        """Open the volume in an engine that lost it, and repeat every step; nothing the user has done is lost.

        Its result are the labels whose voxels differ from before: none, as long as both engines compute alike.
        """
        state, way = self._open_state, self.way
        return Call("Restoring", lambda: state.revived(way=way), needs_session=False)

    @property
    def _open_state(self) -> RemoteState:
        if self._state is None:
            msg = "No volume is open: call set_volume first"
            raise PromptError(msg)
        return self._state

    def _target(self, label: Label) -> Message:
        return {"label": label_message(label), "overwrite": self._overwrite}
