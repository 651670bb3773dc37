"""What keeps a volume, a segmentation and an engine in step, whatever was done to each without the others.

An answer to what was dropped meanwhile (another volume, a closed scene) is never applied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from SAMSpineLib.engine.autonomous.fits import AtlasFit
from SAMSpineLib.engine.service.call import Call
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.engine.service.protocol import Notify
from SAMSpineLib.errors import PromptError, SAMSpineError
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.mrml.asking import Asking, Failed, Post
from SAMSpineLib.mrml.naming import Naming
from SAMSpineLib.mrml.prompt_log import PromptsOfSegment, prompts_in
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.prompts import MaskPrompt, Prompt

Found = TypeVar("Found")
UNDOING = "Undoing"


class EngineSide:
    """One volume, one segmentation and one engine session, and what brings them in step."""

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

    # In step.

    def _renamed(self, count: int) -> None:
        """Tell the engine and the user of new names."""
        if self._opened:
            self._reopen()
        self._asking.tell("1 segment has a new name" if count == 1 else f"{count} segments have new names")
        self._asking.changed()

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

    def _about(self, label: Label, ask: Callable[[SessionMirror], Call[Found]]) -> Call[Found]:
        """Return a call about one label, made when its turn has come: the volume may not be open yet."""
        mirror, overwrites = self._mirror, self._bench.overwrites

        def make() -> Call[Found]:
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
