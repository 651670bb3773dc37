"""Long work on a session, and the lines that tell of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from SAMSpineLib.engine.history import LabelState
from SAMSpineLib.engine.service.wire import Message
from SAMSpineLib.engine.session import OwnAccord, Session
from SAMSpineLib.labels import Label
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import Counted, StageProgress
from SAMSpineLib.prompts import Prompt
from SAMSpineLib.volume import Extent


class RecordingSession(Session):
    """A session that remembers what its last long work was told and what came to an end of it, even if it was cut."""

    orders: Mapping[Label, Sequence[Prompt]] = {}
    updates: tuple[MaskUpdate, ...] = ()
    _recording = False

    def add_all(
        self, orders: Mapping[Label, Sequence[Prompt]], *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Prompt several labels; see `Session.add_all`."""
        self.orders, self.updates, self._recording = dict(orders), (), True
        try:
            return super().add_all(orders, progress=progress)
        finally:
            self._recording = False

    def propagate(
        self, labels: Sequence[Label] | None = None, *, progress: Counted | None = None
    ) -> tuple[MaskUpdate, ...]:
        """Follow labels through the stack; see `Session.propagate`."""
        self.updates, self._recording = (), True
        try:
            return super().propagate(labels, progress=progress)
        finally:
            self._recording = False

    def place(self, found: Mapping[Label, OwnAccord]) -> tuple[MaskUpdate, ...]:
        """Take what a network has found by itself; see `Session.place`."""
        self.updates, self._recording = (), True
        try:
            return super().place(found)
        finally:
            self._recording = False

    def forget(self) -> None:
        """Let go of what was recorded."""
        self.orders, self.updates = {}, ()

    def _commit(self, state: LabelState, *, also: Extent | None = None) -> MaskUpdate:
        update = super()._commit(state, also=also)
        if self._recording:
            self.updates = (*self.updates, update)
        return update


class Feed:
    """Lines from a worker to the one who reads them, however slowly: of progress only the latest waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to an event loop."""
        self._loop = loop
        self._lines: deque[bytes] = deque()
        self._progress: bytes | None = None
        self._ended = False
        self._news = asyncio.Event()

    def progress(self, said: Message) -> None:
        """Tell how far the work is, from any thread."""
        self._call(self._set_progress, line({"progress": said}))

    def end(self, lines: Sequence[bytes]) -> None:
        """Tell the result, from any thread."""
        self._call(self._set_end, lines)

    async def read(self) -> AsyncIterator[bytes]:
        """Yield lines until the last."""
        while True:
            await self._news.wait()
            self._news.clear()
            progress, self._progress = self._progress, None
            if progress is not None:
                yield progress
            while self._lines:
                yield self._lines.popleft()
            if self._ended:
                return

    def _call(self, function: Callable[..., None], *words: object) -> None:
        # A loop that has ended has nobody who reads.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *words)

    def _set_progress(self, progress: bytes) -> None:
        self._progress = progress
        self._news.set()

    def _set_end(self, lines: Sequence[bytes]) -> None:
        self._lines.extend(lines)
        self._ended = True
        self._news.set()


def line(message: Message) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, allow_nan=False).encode() + b"\n"


def stage_progress(feed: Feed) -> StageProgress:
    """Return a function that tells of the stages of an autonomous run."""
    return lambda name, share: feed.progress({"name": name, "share": share})


def counted_progress(feed: Feed, check: Callable[[], None]) -> Counted:
    """Return a function that tells of labels done, and first checks whether to go on."""

    def tell(done: int, total: int, name: str) -> None:
        feed.progress({"done": done, "total": total, "name": name})
        check()

    return tell
