"""What a panel does with one volume, one segmentation and one engine, without waiting for the engine.

A click is handed in and the method returns; the answer comes later through `post` and is brought into the segments. An
answer to what was dropped meanwhile (another volume, a closed scene) is never applied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from SAMSpineLib.engine.autonomous.fits import AtlasFit, AtlasTransform
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.service.call import Call
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.engine.service.protocol import Notify, StageProgress
from SAMSpineLib.errors import PromptError, SAMSpineError
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.asking import Asking, Failed, Post
from SAMSpineLib.mrml.atlas_transforms import add_transforms
from SAMSpineLib.mrml.marker import Marker, marker_of
from SAMSpineLib.mrml.naming import Naming
from SAMSpineLib.mrml.prompt_log import PromptsOfSegment, prompts_in, with_prompts
from SAMSpineLib.mrml.renumbering import renumbered_from
from SAMSpineLib.mrml.review_list import ReviewRow
from SAMSpineLib.mrml.segment_labels import add_segment
from SAMSpineLib.mrml.workbench import Kind, Workbench
from SAMSpineLib.prompts import MaskPrompt, Prompt, Ras

SETTLED = "That prompt is part of what the segment was opened with; undo it with a new one"
UNDOING = "Undoing"
NONE_SELECTED = "Select a segment first, or add one by its name, for example L3"
NO_TRANSFORMS = "Segment the whole spine by atlas first: its registrations are what can be put into the scene"
STILL_ASKED = "That prompt is still being answered"


class Desk:
    """One volume, one segmentation and one engine session; without any of them until `open` is called."""

    def __init__(
        self,
        post: Post,
        *,
        tell: Notify,
        changed: Callable[[], None],
        new_mirror: Callable[[], SessionMirror] = SessionMirror,
    ) -> None:
        """Begin with nothing on the desk.

        Args:
            post: sends a call to the engine after those before it, and reports its result or its error later.
            tell: is given one line for the user.
            changed: is called when segments, prompts, or what is being done have changed.
            new_mirror: makes the client's side of an engine session.
        """
        self._asking, self._new_mirror = Asking(post, tell, changed), new_mirror
        self.bench: Workbench | None = None
        self.mirror: SessionMirror | None = None
        self.names = Naming()
        self.fits: tuple[AtlasFit, ...] = ()
        self._opened, self.fits = False, ()
        # The label value under which the engine knows a segment, and the segments it was opened with.
        self._values: dict[str, int] = {}
        self._began: set[str] = set()
        # Prompts of an earlier time: those that voxels stand for, and those still to be repeated.
        self._settled: dict[str, tuple[Prompt, ...]] = {}
        self._live: dict[str, tuple[Prompt, ...]] = {}
        self._pending: list[tuple[str, Prompt]] = []

    # Which nodes.

    def lay(self, bench: Workbench, log: str = "") -> None:
        """Put a volume and a segmentation on the desk, with the prompts of an earlier time; nothing is sent yet.

        Prompts that cannot be read are told and left out.
        """
        self.drop()
        self.bench, self.names = bench, Naming(bench, self._renamed)
        try:
            earlier = prompts_in(log, bench.node.GetID())
        except PromptError as error:
            self._asking.fail(error)
            return
        for one in earlier:
            if one.segment_id in bench.labels:
                (self._settled if one.settled else self._live)[one.segment_id] = one.prompts

    def drop(self) -> None:
        """Forget everything; answers that are still to come are not applied. The scene stays as it is."""
        self._asking.drop()
        self.bench = self.mirror = None
        self.names = Naming()
        self._opened = False
        self._values, self._settled, self._live = {}, {}, {}
        self._began, self._pending = set(), []

    def open(self) -> None:
        """Bring the volume to the engine, unless that was done, so that the first click need not wait for it."""
        bench = self._bench
        if self._opened:
            return
        labels = bench.labels
        live = {one: prompts for one, prompts in self._live.items() if one in labels}
        voxels = bench.label_map(without={labels[one].value for one in live})
        mirror = self.mirror = self.mirror or self._new_mirror()
        self._opened = True
        self._values = {one: label.value for one, label in labels.items()}
        self._began = {one for one, label in labels.items() if one not in live and bench.knows(label.value)}
        self._send(mirror.open(bench.volume, voxels), lambda _: None, failed=self._not_opened)
        for one, prompts in live.items():
            again = partial(mirror.add_all, {labels[one]: prompts})
            self._send(
                Call.later(f"Repeating the prompts of {labels[one].name}", again),
                partial(self._repeated, mirror, one),
                failed=self._not_opened,
            )

    def _not_opened(self, error: SAMSpineError) -> None:
        # What was asked after it cannot be answered either, and need not be told.
        self._asking.drop()
        self._opened = False
        self._pending.clear()
        self._asking.fail(error)

    def _repeated(self, mirror: SessionMirror, segment_id: str, updates: Sequence[MaskUpdate]) -> None:
        self._live.pop(segment_id, None)
        for update in updates:
            self._bench.note(update, mirror.result)

    # What the user does.

    def click(self, segment_id: str, kind: Kind, places: Sequence[Ras], *, positive: bool = True) -> None:
        """Tell the engine what was drawn for a segment.

        Args:
            segment_id: of the segment it is about.
            kind: of what was drawn.
            places: its vertices in the world (RAS mm), of a box all corners.
            positive: inside or outside.

        Raises:
            SAMSpineError: if it is no prompt for that segment; nothing is sent then.
        """
        prompt = self._bench.prompt(kind, places, positive=positive)
        label = self._selected(segment_id)
        self._pending.append((segment_id, prompt))
        self.names.asked()

        def done(update: MaskUpdate) -> None:
            self._pending.remove((segment_id, prompt))
            self._apply(update)

        def failed(error: SAMSpineError) -> None:
            if (segment_id, prompt) in self._pending:
                self._pending.remove((segment_id, prompt))
            self.names.asked(-1)
            self._asking.fail(error)

        self._send(self._about(label, lambda mirror: mirror.add(prompt)), done, failed=failed)

    def remove(self, marker: Marker) -> None:
        """Take a prompt back, as if it had never been given.

        Raises:
            SAMSpineError: if the prompt is still being answered, or what it did cannot be told apart any more.
        """
        if marker.pending:
            raise PromptError(STILL_ASKED)
        label = self._selected(marker.segment_id)
        if marker.prompt in self._settled.get(marker.segment_id, ()):
            raise PromptError(SETTLED)
        self.names.asked()
        self._send(self._about(label, lambda mirror: mirror.remove(marker.prompt)), self._apply)

    def clear(self, segment_id: str) -> None:
        """Remove a segment's prompts and voxels."""
        label = self._selected(segment_id)
        self._settled.pop(segment_id, None)
        self.names.asked()
        self._send(self._about(label, SessionMirror.clear), self._apply)

    def undo(self) -> None:
        """Take the last step back."""
        self._check_answered(self.names.can_undo)
        if self.names.undo(self._bench):
            return
        self._sync()
        self._send(Call.later(UNDOING, self._mirror.undo), self._apply)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._check_answered(self.names.can_redo)
        if self.names.redo(self._bench):
            return
        self._sync()
        self._send(Call.later("Redoing", self._mirror.redo), self._apply)

    def segment_spine(
        self, method: str, progress: StageProgress, finished: Callable[[AutoResult | None], None]
    ) -> None:
        """Find, name and segment every vertebra; `finished` gets the result, or None if it failed."""
        self._sync()

        def done(result: AutoResult) -> None:
            self._take(result)
            finished(result)

        def failed(error: SAMSpineError) -> None:
            self._asking.fail(error)
            finished(None)

        mirror = self._mirror
        mirror.notice = ""
        call = Call.later("Segmenting the spine", lambda: mirror.segment_spine(method=method, progress=progress))
        self._send(call, done, failed=failed)

    def fetch_transforms(self) -> None:
        """Put the transforms of the atlases of the last autonomous run into the scene.

        Raises:
            PromptError: if there are none.
        """
        if not self.fits:
            raise PromptError(NO_TRANSFORMS)

        def done(transforms: Sequence[AtlasTransform]) -> None:
            self._asking.tell(f"{len(add_transforms(self._bench, transforms))} transforms are in the scene")

        self._send(self._mirror.transforms(len(self.fits)), done)

    def renumber(self, segment_id: str, name: str) -> None:
        """Give a vertebra another name and let the chain follow, in one step to undo; the engine is told anew.

        Raises:
            LabelError: if that is not possible.
            PromptError: if a prompt is still being answered.
        """
        self._check_answered()
        self.names.rename(renumbered_from(self._bench.node, segment_id, name, self._bench.table), self._bench)

    def choose_numbering(self, number: int) -> None:
        """Give all levels that autonomous mode found the names of one of `names.numberings`, in one step to undo.

        Raises:
            PromptError: if a prompt is still being answered.
        """
        self._check_answered()
        self.names.choose(number, self._bench)

    def _check_answered(self, matters: bool = True) -> None:
        if matters and self._pending:
            raise PromptError(STILL_ASKED)

    def _renamed(self, count: int) -> None:
        """Tell the engine and the user of new names."""
        if self._opened:
            self._reopen()
        self._asking.tell("1 segment has a new name" if count == 1 else f"{count} segments have new names")
        self._asking.changed()

    # What is shown.

    @property
    def review(self) -> list[ReviewRow]:
        """What autonomous mode found, to be looked at."""
        return self.names.review

    @property
    def can_undo(self) -> bool:
        """Tell whether there is a step to take back."""
        return self.names.can_undo or (self.mirror is not None and self.mirror.can_undo)

    @property
    def can_redo(self) -> bool:
        """Tell whether there is a step to bring back."""
        return self.names.can_redo or (self.mirror is not None and self.mirror.can_redo)

    def log(self, text: str) -> str:
        """Return the text of a scene's prompts with ours in it."""
        return with_prompts(text, self._bench.node.GetID(), self._segments()) if self.bench is not None else text

    def recall(self, segment_id: str, name: str) -> str:
        """Return a segment to prompt: the selected one, or one of the same name if that was removed.

        Raises:
            PromptError: if none is selected.
        """
        if segment_id in self._bench.labels:
            return segment_id
        if not name:
            raise PromptError(NONE_SELECTED)
        self._sync()
        return add_segment(self._bench.node, name, self._bench.table)

    def markers(self) -> tuple[Marker, ...]:
        """Return all prompts as they are to be drawn, in the order of the segments."""
        if self.bench is None:
            return ()
        given = [(one.segment_id, prompt, False) for one in self._segments() for prompt in one.prompts]
        given += [(segment_id, prompt, True) for segment_id, prompt in self._pending]
        return tuple(
            marker_of(self._bench, segment_id, prompt, pending=pending)
            for segment_id, prompt, pending in given
            if not isinstance(prompt, MaskPrompt)
        )

    def _segments(self) -> list[PromptsOfSegment]:
        """Return the prompts of each segment: of an earlier time, still to be repeated, and known to the engine."""
        found = []
        for segment_id, label in self._bench.labels.items():
            old, live = self._settled.get(segment_id, ()), self._live.get(segment_id, ())
            new: tuple[Prompt, ...] = ()
            if self._opened and self.mirror is not None:
                new = self.mirror.prompts_of(self._values.get(segment_id, label.value))
            settled = bool(old) or segment_id in self._began
            found.append(PromptsOfSegment(segment_id, (*old, *live, *new), settled))
        return found

    # The engine's side.

    @property
    def _bench(self) -> Workbench:
        if self.bench is None:
            msg = "Choose a volume first"
            raise PromptError(msg)
        return self.bench

    @property
    def _mirror(self) -> SessionMirror:
        self.open()
        if self.mirror is None:
            msg = "No volume is open"
            raise PromptError(msg)
        return self.mirror

    def _selected(self, segment_id: str) -> Label:
        """Return the label of a segment, with the engine in step with the scene."""
        self._sync()
        label = self._bench.label_of(segment_id)
        self.open()
        self._values[segment_id] = label.value
        return label

    def _sync(self) -> None:
        """Tell the engine what was done to the segmentation without it: steps undone, segments renamed or removed."""
        if not self._opened or self._pending or self.mirror is None:
            return
        now = {one: label.value for one, label in self._bench.labels.items()}
        told = {one for one, value in self._values.items() if one in self._began or self.mirror.prompts_of(value)}
        if any(now.get(one) != self._values[one] for one in told):
            self._reopen()
        elif self._bench.taken_back():
            mirror = self.mirror
            self._send(Call.later(UNDOING, mirror.undo), lambda update: self._bench.note(update, mirror.result))

    def _reopen(self) -> None:
        """Open the volume anew, with the segments as they are; call it before labels change, or after."""
        prompts = self._segments()
        self._settled.clear()
        self._live.clear()
        for one in prompts:
            drawn = tuple(prompt for prompt in one.prompts if not isinstance(prompt, MaskPrompt))
            if drawn:
                settled = one.settled or len(drawn) < len(one.prompts)
                (self._settled if settled else self._live)[one.segment_id] = drawn
        self._opened, self.fits = False, ()
        self.open()

    def _about(self, label: Label, ask: Callable[[SessionMirror], Call[MaskUpdate]]) -> Call[MaskUpdate]:
        """Return a call about one label, made when its turn has come: the volume may not be open yet."""
        mirror, overwrites = self._mirror, self._bench.overwrites

        def make() -> Call[MaskUpdate]:
            mirror.select(label, overwrite=overwrites)
            return ask(mirror)

        return Call.later(f"Segmenting {label.name}", make)

    def _send(self, call: Call[Any], done: Callable[[Any], None], *, failed: Failed | None = None) -> None:
        self._asking.send(call, self._mirror, done, failed)

    def _apply(self, update: MaskUpdate) -> None:
        """Bring an answer into the segments."""
        if update.message:
            self._asking.tell(update.message)
        self._bench.apply(update, self._mirror.result)

    def _take(self, result: AutoResult) -> None:
        """Bring the result of autonomous mode into the segments."""
        self._bench.apply_all([level.value for level in result.levels], self._mirror.result, kind="AUTOMATIC")
        self._values.update({one: label.value for one, label in self._bench.labels.items()})
        self.names.take(self._bench, result)
        self.fits = result.fits
        said = [text for text in (self._mirror.notice, result.message) if text]
        if said:
            self._asking.tell("; ".join(said))
