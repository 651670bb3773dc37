"""A session of this process behind the door that other faces use for an engine elsewhere.

Each operation is a `Call` without a wire: its first request is empty, and accepting the reply to it does the work, in
whatever thread that is done. One call at a time, as for every mirror.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.fits import AtlasFit, AtlasTransform
from SAMSpineLib.engine.autonomous.methods import Run
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.autonomous.run import run_autonomous
from SAMSpineLib.engine.fallback import sturdy_session
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service.call import Call, Dialogue, Request
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.engine.service.protocol import Notify
from SAMSpineLib.errors import Cancelled, PromptError
from SAMSpineLib.labels import Label
from SAMSpineLib.lesson_order import LessonOrder, LessonResult, Teacher
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import Counted, StageProgress
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Volume

Found = TypeVar("Found")
HERE = Request("LOCAL", "")
ENDED = "It was ended"


class LocalMirror(SessionMirror):
    """A mirror of a session that lives beside it."""

    def __init__(
        self,
        networks: Networks,
        atlases: Callable[[], Sequence[Atlas]],
        notify: Notify,
        teacher: Teacher | None = None,
    ) -> None:
        """Begin without a volume.

        Args:
            networks: that answer.
            atlases: is asked when a run wants them.
            notify: is given lines for the user.
            teacher: carries orders to teach out.
        """
        super().__init__(notify=notify)
        self.session, self._eyes = sturdy_session(networks, self._notify)
        self._atlases, self._teacher = atlases, teacher
        self._stop = threading.Event()
        self._prompts: dict[int, tuple[Prompt, ...]] = {}
        self._follows: dict[int, bool] = {}
        self._opened: Volume | None = None
        self._fits: tuple[AtlasFit, ...] = ()

    # What is known without asking.

    @property
    def is_open(self) -> bool:
        """Tell whether a volume is open."""
        return self._opened is not None

    @property
    def volume(self) -> Volume:
        """The open volume.

        Raises:
            PromptError: if there is none.
        """
        if self._opened is None:
            msg = "No volume is open"
            raise PromptError(msg)
        return self._opened

    @property
    def result(self) -> npt.NDArray[np.uint16]:
        """The label map (K, J, I); a read-only view, to be looked at between two calls."""
        return self.session.result

    def prompts_of(self, value: int) -> tuple[Prompt, ...]:
        """Return the prompts of a label, in order, as of the last call."""
        return self._prompts.get(value, ())

    def follows(self, value: int) -> bool:
        """Tell whether a label can be followed from a prompted slice, as of the last call."""
        return self._follows.get(value, False)

    def stop(self) -> None:
        """End a long run soon; what it has finished stays."""
        self._stop.set()

    # What the engine does.

    def open(self, volume: Volume, labels: npt.NDArray[np.integer] | None = None) -> Call[None]:
        """Open a volume, with an earlier label map (K, J, I) to go on with or without one."""

        def work() -> None:
            self.session.set_volume(volume, labels)
            self._opened = volume

        return self._call(f"Opening {volume.name}", work)

    def add(self, prompt: Prompt) -> Call[MaskUpdate]:
        """Add a prompt for the selected label."""
        return self._about(f"Segmenting {self.label.name}", lambda: self.session.add(prompt))

    def remove(self, prompt: Prompt) -> Call[MaskUpdate]:
        """Take one prompt of the selected label back, as if it had never been given."""
        return self._about(f"Taking back from {self.label.name}", lambda: self.session.remove(prompt))

    def clear(self) -> Call[MaskUpdate]:
        """Remove the selected label's prompts and voxels."""
        return self._about(f"Clearing {self.label.name}", self.session.clear)

    def next_candidate(self) -> Call[MaskUpdate]:
        """Take the next of the masks that were offered on the slice that was prompted last."""
        return self._about(f"Another mask of {self.label.name}", self.session.next_candidate)

    def propagate(
        self, labels: Sequence[Label] | None = None, *, progress: Counted | None = None
    ) -> Call[tuple[MaskUpdate, ...]]:
        """Follow labels from their prompted slices through the stack; `stop` ends it, and what was found stays."""
        chosen = tuple(labels if labels is not None else (self.label,))

        def tell(done: int, total: int, name: str) -> None:
            if progress is not None:
                progress(done, total, name)
            if self._stop.is_set():
                raise Cancelled(ENDED)

        def work() -> tuple[MaskUpdate, ...]:
            with contextlib.suppress(Cancelled):
                return self.session.propagate(chosen, progress=tell)
            return ()

        self._stop.clear()
        return self._about(f"Following {', '.join(label.name for label in chosen)}", work)

    def undo(self) -> Call[MaskUpdate]:
        """Take back the last step of any label; nothing changes if there is none."""
        return self._call("Undoing", self.session.undo)

    def redo(self) -> Call[MaskUpdate]:
        """Do again what `undo` took back; nothing changes if there is nothing."""
        return self._call("Redoing", self.session.redo)

    def add_all(
        self, orders: Mapping[Label, Sequence[Prompt]], *, progress: Counted | None = None
    ) -> Call[tuple[MaskUpdate, ...]]:
        """Prompt several labels and let them settle what more than one of them claims."""
        return self._call("Segmenting", lambda: self.session.add_all(orders, progress=progress))

    def segment_spine(self, *, method: str = "centres", progress: StageProgress | None = None) -> Call[AutoResult]:
        """Find, name and segment every vertebra; `stop` ends it early."""

        def work() -> AutoResult:
            result = run_autonomous(
                self.session, self._eyes, cast("Run", method), atlases=self._atlases, progress=progress,
                cancelled=self._stop.is_set,
            )  # fmt: skip
            self._fits = result.fits
            return result

        self._stop.clear()
        return self._call("Segmenting the spine", work)

    def teach(self, order: LessonOrder, *, progress: StageProgress | None = None) -> Call[LessonResult]:
        """Teach the SAM in use; `stop` ends it, and the best so far is kept."""

        def work() -> LessonResult:
            if self._teacher is None:
                msg = "There is nobody here who teaches"
                raise PromptError(msg)
            return self._teacher(order, progress=progress, cancelled=self._stop.is_set)

        self._stop.clear()
        return self._call(f"Teaching {order.name}", work)

    def transforms(self, count: int) -> Call[tuple[AtlasTransform, ...]]:
        """Return the transforms of the first atlases that took part in the last run."""
        return self._call("Sampling the transforms", lambda: tuple(one.sampled() for one in self._fits[:count]))

    def _about(self, title: str, work: Callable[[], Found]) -> Call[Found]:
        """Return a call about the label that is selected now."""
        label, overwrite = self.label, self._overwrite

        def selected() -> Found:
            self.session.select(label, overwrite=overwrite)
            return work()

        return self._call(title, selected)

    def _call(self, title: str, work: Callable[[], Found]) -> Call[Found]:
        def begin() -> Dialogue[Found]:
            yield HERE
            try:
                return work()
            finally:
                self._prompts = self.session.all_prompts()
                self._follows = {value: self.session.follows(value) for value in self._prompts}

        return Call(title, begin)
