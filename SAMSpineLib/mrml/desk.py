"""What a panel does with one volume, one segmentation and one engine, without waiting for the engine.

A click is handed in and the method returns; the answer comes later through `post` and is brought into the segments. An
answer to what was dropped meanwhile (another volume, a closed scene) is never applied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from SAMSpineLib.engine.autonomous.fits import AtlasTransform
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.service.call import Call
from SAMSpineLib.errors import PromptError, SAMSpineError
from SAMSpineLib.lesson_order import LessonOrder, LessonResult
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.atlas_transforms import add_transforms
from SAMSpineLib.mrml.engine_side import EngineSide
from SAMSpineLib.mrml.lessons import lessons_of
from SAMSpineLib.mrml.marker import Marker, marker_of
from SAMSpineLib.mrml.prompt_log import with_prompts
from SAMSpineLib.mrml.renumbering import renumbered_from
from SAMSpineLib.mrml.review_list import ReviewRow
from SAMSpineLib.mrml.segment_labels import add_segment, ensure_structure
from SAMSpineLib.mrml.workbench import Kind
from SAMSpineLib.progress import StageProgress
from SAMSpineLib.prompts import MaskPrompt, Ras

SETTLED = "That prompt is part of what the segment was opened with; undo it with a new one"
NONE_SELECTED = "Select a segment first, or add one by its name, for example L3"
NO_TRANSFORMS = "Segment the whole spine by atlas first: its registrations are what can be put into the scene"
STILL_ASKED = "That prompt is still being answered"


class Desk(EngineSide):
    """What a user does with one volume and one segmentation, and what is shown of it."""

    # What the user does.

    def click(
        self, segment_id: str, kind: Kind, places: Sequence[Ras], *, positive: bool = True, normal: Ras | None = None
    ) -> None:
        """Tell the engine what was drawn for a segment.

        Args:
            segment_id: of the segment it is about.
            kind: of what was drawn.
            places: its vertices in the world (RAS mm), of a box all corners.
            positive: inside or outside.
            normal: which way the view faces in the world, in whose slice it was drawn.

        Raises:
            SAMSpineError: if it is no prompt for that segment; nothing is sent then.
        """
        prompt = self._bench.prompt(kind, places, positive=positive, normal=normal)
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
        self._send(self._about(label, lambda mirror: mirror.clear()), self._apply)

    def next_candidate(self, segment_id: str) -> None:
        """Take the next of the masks that the engine has offered on the slice that was prompted last."""
        label = self._selected(segment_id)
        self.names.asked()

        def failed(error: SAMSpineError) -> None:
            self.names.asked(-1)
            self._asking.fail(error)

        self._send(self._about(label, lambda mirror: mirror.next_candidate()), self._apply, failed=failed)

    def follow(self, segment_id: str, progress: StageProgress, finished: Callable[[], None]) -> None:
        """Follow a segment from its prompted slices through the stack; `finished` is called in any case.

        Args:
            segment_id: of the segment.
            progress: called with its name and the share (0..1) that is done.
            finished: called in the end, also where it was cancelled or failed.
        """
        label = self._selected(segment_id)
        self.names.asked()

        def tell(done: int, total: int, name: str) -> None:
            progress(name, done / max(total, 1))

        def done(updates: Sequence[MaskUpdate]) -> None:
            others = {value for update in updates for value in update.overwritten}
            self._bench.apply_all(sorted({label.value, *others}), self._mirror.result, kind="SEMIAUTOMATIC")
            finished()

        def failed(error: SAMSpineError) -> None:
            self.names.asked(-1)
            self._asking.fail(error)
            finished()

        self._send(self._about(label, lambda mirror: mirror.propagate(progress=tell)), done, failed=failed)

    def undo(self) -> None:
        """Take the last step back."""
        self._check_answered(self.names.can_undo)
        if self.names.undo(self._bench):
            return
        self._sync()
        self._send(Call.later("Undoing", self._mirror.undo), self._apply)

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

    def teach(
        self,
        name: str,
        segment_ids: Sequence[str],
        progress: StageProgress,
        finished: Callable[[LessonResult | None], None],
        *,
        complete: bool = False,
    ) -> tuple[str, ...]:
        """Teach the engine what segments are, by the slices in which they have voxels; return the volumes that teach.

        Those are the open one and the others of the scene in which they were labelled: see `lessons_of`.

        Args:
            name: of the model that is to come of it.
            segment_ids: of the segments.
            progress: called with a line for the user and the share (0..1) that is done.
            finished: gets what came of it, or None if it failed.
            complete: whether slices of the open volume without any of them show that there is none.

        Raises:
            LabelError: if none of them has voxels.
        """
        labels, volumes = lessons_of(self._bench, segment_ids, complete=complete)
        order = LessonOrder(name, labels, volumes)
        mirror = self._mirror

        def failed(error: SAMSpineError) -> None:
            self._asking.fail(error)
            finished(None)

        call = Call.later(f"Teaching {name}", lambda: mirror.teach(order, progress=progress))
        self._send(call, finished, failed=failed)
        return tuple(one.subject for one in volumes)

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

    # What is shown.

    @property
    def review(self) -> list[ReviewRow]:
        """What autonomous mode found, to be looked at."""
        return self.names.review

    @property
    def can_undo(self) -> bool:
        """Tell whether there is a step to take back."""
        return self.names.can_undo or (self.mirror is not None and self.mirror.can_undo)

    def follows(self, segment_id: str) -> bool:
        """Tell whether a segment was prompted in a slice by a network that works slice by slice."""
        return self.mirror is not None and self.mirror.follows(self._values.get(segment_id, 0))

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

    def _take(self, result: AutoResult) -> None:
        """Bring the result of autonomous mode into the segments."""
        found = {level.value for level in result.levels}
        for label in result.structures:
            if label.value in found:
                ensure_structure(self._bench.node, label, self._bench.table)
        self._bench.apply_all([level.value for level in result.levels], self._mirror.result, kind="AUTOMATIC")
        self._values.update({one: label.value for one, label in self._bench.labels.items()})
        self.names.take(self._bench, result)
        self.fits = result.fits
        said = [text for text in (self._mirror.notice, result.message) if text]
        if said:
            self._asking.tell("; ".join(said))
