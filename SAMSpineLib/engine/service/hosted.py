"""One session on the server: a worker thread of its own, numbered steps, the last answer kept in case it was lost."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.fits import AtlasFit
from SAMSpineLib.engine.autonomous.methods import Run
from SAMSpineLib.engine.autonomous.run import run_autonomous
from SAMSpineLib.engine.autonomous.watch import CANCELLED
from SAMSpineLib.engine.autonomous.whole import Eyes
from SAMSpineLib.engine.memory import NOT_ENOUGH, is_out_of_memory
from SAMSpineLib.engine.service.jobs import Feed, RecordingSession, counted_progress, line, stage_progress
from SAMSpineLib.engine.service.packing import pack_array
from SAMSpineLib.engine.service.settings import ServiceSettings
from SAMSpineLib.engine.service.wire import (
    Message,
    error_message,
    label_message,
    prompt_message,
    read_label,
    read_prompt,
    result_message,
    transform_message,
    update_message,
)
from SAMSpineLib.errors import Cancelled, EngineError, EngineLostError, PromptError, SAMSpineError
from SAMSpineLib.mask_update import MaskUpdate
from SAMSpineLib.progress import StageProgress

Found = TypeVar("Found")
log = logging.getLogger("samspine.engine")
Answer = bytes | tuple[bytes, ...]
Teaching = Callable[[Message, StageProgress, Callable[[], bool]], Message]


class BusyError(EngineError):
    """More at once than the engine takes."""


class _EnoughError(Exception):
    """As many slices were looked at as were asked for."""


class HostedSession:
    """A session that one client speaks to; its worker does one thing after the other."""

    def __init__(
        self,
        session: RecordingSession,
        eyes: Eyes,
        atlases: Callable[[], Sequence[Atlas]],
        *,
        settings: ServiceSettings,
        turn: AbstractContextManager[object],
        teacher: Teaching,
    ) -> None:
        """Serve a session.

        Args:
            session: with its volume set.
            eyes: for autonomous runs.
            atlases: for autonomous runs by atlases, read when they are needed.
            settings: limits.
            turn: held while computing.
            teacher: carries an order to teach out, told how far it is and asked whether to end.
        """
        self.name = secrets.token_hex(16)
        self.session = session
        self.notices: list[str] = []
        self.used = time.monotonic()
        self._eyes, self._atlases = eyes, atlases
        self._most_voxels, self._waiting, self._turn = settings.mask_voxels, settings.waiting, turn
        self._teacher = teacher
        self._pending = 0
        self._counting = threading.Lock()
        self._steps = 0
        self._key = ""
        self._answer: Answer = b""
        self._cancelled: set[int] = set()
        self._fits: tuple[AtlasFit, ...] = ()
        self._closed = threading.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="session")

    @property
    def busy(self) -> bool:
        """Tell whether something is computed or waits."""
        return self._pending > 0

    # On the event loop.

    async def step(self, message: Message) -> bytes:
        """Do a numbered step and return its answer (JSON).

        Raises:
            BusyError: if too many calls wait.
            EngineLostError: if the number is not the next, nor the last again.
            SAMSpineError: what the session raises; the number is not used up then.
        """
        return await asyncio.wrap_future(self._submit(lambda: self._step(message)))

    async def job(self, message: Message) -> Feed:
        """Begin a numbered long step and return the lines that it will tell; errors as for `step`."""
        loop = asyncio.get_running_loop()
        feed, begun = Feed(loop), loop.create_future()

        def tell_begun() -> None:
            loop.call_soon_threadsafe(lambda: None if begun.done() else begun.set_result(None))

        done = self._submit(lambda: self._job(message, feed, tell_begun))
        work = asyncio.ensure_future(asyncio.wrap_future(done))
        await asyncio.wait({work, begun}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            work.result()
        work.add_done_callback(lambda ended: _end_of_failed(ended, feed))
        return feed

    async def result(self) -> bytes:
        """Return the whole label map (JSON)."""
        work = self._submit(lambda: json.dumps(pack_array(self.session.result)).encode())
        return await asyncio.wrap_future(work)

    async def transform(self, number: int) -> bytes:
        """Return the transform of an atlas of the last autonomous run (JSON).

        Raises:
            EngineError: if that run had no such atlas.
        """
        return await asyncio.wrap_future(self._submit(lambda: self._transform(number)))

    def cancel(self, step: int) -> bool:
        """End the long step of a number, also one that still waits; True if it is not over."""
        if step != self._steps + 1:
            return False
        self._cancelled.add(step)
        return True

    def close(self, afterwards: Callable[[], None]) -> None:
        """End what is under way; `afterwards` is called when the worker has let go of the session."""
        self._closed.set()
        self._worker.submit(afterwards)
        self._worker.shutdown(wait=False)

    def _submit(self, work: Callable[[], Found]) -> Future[Found]:
        if self._pending > self._waiting:
            msg = f"{self._pending} calls of this session wait already; wait for their answers"
            raise BusyError(msg)
        if self._closed.is_set():
            msg = "The session was closed"
            raise EngineLostError(msg)
        with self._counting:
            self._pending += 1
        self.used = time.monotonic()
        future = self._worker.submit(self._held, work)
        future.add_done_callback(self._let_go)
        return future

    def _let_go(self, _done: object) -> None:
        with self._counting:
            self._pending -= 1
        self.used = time.monotonic()

    # In the worker.

    def _held(self, work: Callable[[], Found]) -> Found:
        with self._turn:
            return work()

    def _known(self, message: Message) -> Answer | None:
        """Return the kept answer if a step comes a second time, None if it is the next."""
        if self._closed.is_set():
            msg = "The session was closed"
            raise EngineLostError(msg)
        number, key = message["step"], message["key"]
        if number == self._steps and key == self._key:
            return self._answer
        if number != self._steps + 1:
            msg = f"The session is at step {self._steps}, the client at step {number}: it has to begin anew"
            raise EngineLostError(msg)
        return None

    def _keep(self, message: Message, answer: Answer) -> None:
        self._steps, self._key, self._answer = message["step"], message["key"], answer
        self._cancelled.clear()
        self.notices.clear()
        self.session.forget()

    def _step(self, message: Message) -> bytes:
        known = self._known(message)
        if known is None:
            update = self._update(message)
            known = self._packed(
                lambda: json.dumps({"rows": [self._row(update)], "notices": self.notices}, allow_nan=False).encode()
            )
            self._keep(message, known)
        return known if isinstance(known, bytes) else b"".join(known)

    def _packed(self, pack: Callable[[], Answer]) -> Answer:
        """Return an answer to what is done; one that finds no room leaves the session to be repeated from its log.

        Raises:
            EngineLostError: if memory is not enough; the client then opens the volume anew.
        """
        try:
            return self.session.attempt(pack)
        except EngineError as error:
            self._closed.set()
            raise EngineLostError(str(error)) from error

    def _update(self, message: Message) -> MaskUpdate:
        """Do one step."""
        session, action = self.session, message["action"]
        if action in ("undo", "redo"):
            return session.undo() if action == "undo" else session.redo()
        session.select(read_label(message["label"]), overwrite=message["overwrite"])
        if action == "add":
            return session.add(read_prompt(message["prompt"], most_voxels=self._most_voxels))
        if action == "clear":
            return session.clear()
        if action == "next_candidate":
            return session.next_candidate()
        if message["index"] >= len(session.prompts):
            msg = f"{session.label.name} has {len(session.prompts)} prompts, none at place {message['index']}"
            raise PromptError(msg)
        return session.remove(session.prompts[message["index"]])

    def _row(self, update: MaskUpdate) -> Message:
        session = self.session
        return {
            "update": update_message(update, session.result),
            "quality": session.quality(update.label),
            "follows": session.follows(update.label),
        }

    def _job(self, message: Message, feed: Feed, tell_begun: Callable[[], None]) -> None:
        known = self._known(message)
        if known is None:
            long = {"segment_spine": self._spine, "propagate": self._propagate, "teach": self._teach}
            begin = long.get(message["action"]) or self._prepared(message)
            tell_begun()
            last = begin(message, feed)
            head, end = line({"job": message["step"]}), line({"end": True})
            known = self._packed(lambda: (head, *self._lines(), *map(line, last), end))
            self._keep(message, known)
        feed.end(known if isinstance(known, tuple) else (known,))

    def _transform(self, number: int) -> bytes:
        if number >= len(self._fits):
            msg = f"The last autonomous run has {len(self._fits)} transforms, none of number {number}; run it again"
            raise EngineError(msg)
        found = self.session.attempt(self._fits[number].sampled)
        return json.dumps(transform_message(found), allow_nan=False).encode()

    def _prepared(self, message: Message) -> Callable[[Message, Feed], list[Message]]:
        """Read the prompts, so that what is wrong with them is said before anything begins."""
        orders = {
            read_label(row["label"]): [read_prompt(one, most_voxels=self._most_voxels) for one in row["prompts"]]
            for row in message["orders"]
        }
        if len({label.value for label in orders}) < len(message["orders"]):
            msg = "Each label may be named once only in one message"
            raise PromptError(msg)

        def begin(_: Message, feed: Feed) -> list[Message]:
            tell = counted_progress(feed, lambda: self._go_on(message["step"]))
            try:
                self.session.add_all(orders, progress=tell)
            except SAMSpineError as error:
                return [error_message(error)]
            return []

        return begin

    def _spine(self, message: Message, feed: Feed) -> list[Message]:
        """Run autonomous mode and return its last lines."""
        run: Run = message["method"]
        try:
            result = run_autonomous(
                self.session, self._eyes, run, atlases=self._atlases, progress=stage_progress(feed),
                cancelled=lambda: self._is_cancelled(message["step"]),
            )  # fmt: skip
            self._fits = result.fits
            last = {"result": result_message(result)}
        except SAMSpineError as error:
            last = error_message(error)
        orders = [
            {"label": label_message(label), "prompts": [prompt_message(one) for one in prompts]}
            for label, prompts in self.session.orders.items()
        ]
        return [{"orders": orders}, last]

    def _teach(self, message: Message, feed: Feed) -> list[Message]:
        """Teach, and return the last line: what came of it, or why nothing did."""
        try:
            taught = self._teacher(message, stage_progress(feed), lambda: self._is_cancelled(message["step"]))
        except SAMSpineError as error:
            return [error_message(error)]
        return [{"result": taught}]

    def _propagate(self, message: Message, feed: Feed) -> list[Message]:
        """Follow labels through the stack and return the last lines, which say how many slices were looked at."""
        labels = [read_label(row) for row in message["labels"]]
        tell = counted_progress(feed, lambda: self._go_on(message["step"]))
        seen = 0

        def progress(done: int, total: int, name: str) -> None:
            nonlocal seen
            seen = done
            tell(done, total, name)
            if done == message["most"]:
                raise _EnoughError

        last: list[Message] = []
        try:
            self.session.select(labels[0], overwrite=message["overwrite"])
            self.session.propagate(labels, progress=progress)
        except _EnoughError:
            pass
        except SAMSpineError as error:
            last = [error_message(error)]
        return [{"result": {"slices": seen}}, *last]

    def _lines(self) -> list[bytes]:
        """Return what has changed, label by label, and what the user should know."""
        rows = [line(self._row(update)) for update in self.session.updates]
        return rows + [line({"notice": text}) for text in self.notices]

    def _is_cancelled(self, step: int) -> bool:
        return self._closed.is_set() or step in self._cancelled

    def _go_on(self, step: int) -> None:
        if self._is_cancelled(step):
            raise Cancelled(CANCELLED)


def _end_of_failed(work: asyncio.Future[None], feed: Feed) -> None:
    """Tell the reader when a fault of ours has ended the work."""
    error = None if work.cancelled() else work.exception()
    if error is not None:
        feed.end([line(failure(error)), line({"end": True})])


def failure(error: BaseException) -> Message:
    """Log a fault of ours under a number, and return what the client may know of it."""
    if isinstance(error, SAMSpineError):
        return error_message(error)
    if is_out_of_memory(error):
        return error_message(EngineError(NOT_ENOUGH))
    number = secrets.token_hex(4)
    log.error("Fault %s", number, exc_info=error)
    text = f"The engine has failed inside ({type(error).__name__}); its log tells more under {number}"
    return {"error": {"type": EngineError.__name__, "message": text}}
