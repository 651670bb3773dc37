"""Calls of a client that must never wait: sent one after the other, repeated on an engine that was lost and restarted.

What the event loop belongs to stays outside: a `Wire` sends one request and reports back later, an `EngineHost` starts
an engine and reports back later. Nothing here polls, sleeps or blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from SAMSpineLib.engine.service.call import BREATH, BREATHED, Call, Request
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.engine.service.protocol import Notify
from SAMSpineLib.errors import EngineError, EngineLostError, SAMSpineError

Failed = Callable[[SAMSpineError], None]
MOST_ATTEMPTS = 4
RESTARTING = "The engine stopped; it is being started again and nothing is lost"
RESTORED = "The engine is back, with all that was done before"


class Wire(Protocol):
    """Sends one request at a time."""

    def send(self, request: Request, finished: Callable[[int | None, bytes], None]) -> None:
        """Send a request; `finished` is called later with status and body, with None where the connection was lost.

        Where `request.on_line` is set, parts of the reply go to `fed` of the queue as they come.
        """

    def send_beside(self, request: Request) -> None:
        """Send a request without regard to its reply."""

    def breathe(self, finished: Callable[[], None]) -> None:
        """Call `finished` later, when everything else that waits in the event loop has had its turn."""

    def abort(self) -> None:
        """Forget the request, or the breath, that is under way; its `finished` is not called any more."""


class EngineHost(Protocol):
    """Knows where an engine is, or starts one."""

    def start(self, ready: Callable[[], None], failed: Failed) -> None:
        """Make sure that there is an engine; one of both is called, later or at once."""

    @property
    def is_alive(self) -> bool:
        """Tell whether, as far as is known, the engine still runs."""

    def lost(self) -> None:
        """Take note that the engine does not answer: `start` is to start another one."""


@dataclass(eq=False)
class _Job:
    """A call on its way."""

    call: Call[Any]
    mirror: SessionMirror
    done: Callable[[Any], None]
    failed: Failed
    attempts: int = 0


class CallQueue:
    """Sends calls in order. A lost engine is started anew, its session restored, and the call repeated."""

    def __init__(self, wire: Wire, host: EngineHost, notify: Notify) -> None:
        """Begin with nothing to do.

        Args:
            wire: sends requests.
            host: starts engines.
            notify: is given a line for the user when an engine was lost and when it is back.
        """
        self._wire, self._host, self._notify = wire, host, notify
        self._waiting: deque[_Job] = deque()
        self._job: _Job | None = None
        self._sending: Call[Any] | None = None
        self._alive: SessionMirror | None = None
        self._lost = False

    @property
    def title(self) -> str:
        """What is being done now, empty if nothing is."""
        return self._job.call.title if self._job is not None else ""

    @property
    def share(self) -> float:
        """How much of what is being done is done (0..1)."""
        return self._sending.request.share if self._sending is not None else 0.0

    @property
    def is_idle(self) -> bool:
        """Tell whether there is nothing to do."""
        return self._job is None and not self._waiting

    def post(self, call: Call[Any], mirror: SessionMirror, done: Callable[[Any], None], failed: Failed) -> None:
        """Send a call when those before it are answered; `done` gets its result, or `failed` the error."""
        self._waiting.append(_Job(call, mirror, done, failed))
        if self._job is None:
            self._next()

    def post_beside(self, call: Call[Any]) -> None:
        """Send a call at once, beside what is under way, without regard to its reply."""
        if self._sending is not None:
            self._wire.send_beside(call.request)

    def clear(self) -> None:
        """Forget all calls without a word to those who posted them."""
        self._waiting.clear()
        if self._job is not None:
            self._wire.abort()
        self._job = self._sending = None
        self._alive = None

    def fed(self, chunk: bytes) -> None:
        """Take a part of a reply that comes in lines."""
        if self._sending is not None:
            self._sending.feed(chunk)

    def _next(self) -> None:
        if self._job is None and self._waiting:
            self._job = self._waiting.popleft()
            self._begin()

    def _begin(self) -> None:
        """Send the job's call, once there is an engine that knows its session."""
        job = self._job
        self._host.start(lambda: self._ready(job), lambda error: self._fail(job, error))

    def _ready(self, job: _Job | None) -> None:
        if job is None or job is not self._job:
            return
        if job.call.needs_session and job.mirror.is_open and self._alive is not job.mirror:
            self._sending = job.mirror.revive()
        else:
            self._sending = job.call
        self._send()

    def _send(self) -> None:
        job, call = self._job, self._sending
        if job is None or call is None:
            return
        try:
            request = call.request
        except SAMSpineError as error:
            self._fail(job, error)
            return
        if request is BREATH:
            self._wire.breathe(lambda: self._finished(job, call, BREATHED, b""))
        else:
            self._wire.send(request, lambda status, body: self._finished(job, call, status, body))

    def _finished(self, job: _Job, call: Call[Any], status: int | None, body: bytes) -> None:
        if job is not self._job or call is not self._sending:
            return
        if status is None:
            self._cut(job, call)
            return
        try:
            finished = call.accept(status, body)
        except EngineLostError as error:
            self._again(job, error)
            return
        except SAMSpineError as error:
            self._fail(job, error)
            return
        if not finished:
            self._send()
        elif call is not job.call:
            self._alive, self._sending = job.mirror, job.call
            self._restored()
            self._send()
        else:
            self._end(job, call.result)

    def _cut(self, job: _Job, call: Call[Any]) -> None:
        """Send the same request again if it was only the connection; it is never applied twice."""
        if self._host.is_alive and job.attempts == 0:
            job.attempts = 1
            call.cut()
            self._send()
        else:
            self._again(job, EngineError("The engine does not answer"))

    def _again(self, job: _Job, error: SAMSpineError) -> None:
        """Repeat a call on a new engine, or on a new session of the same one."""
        job.attempts += 1
        self._alive, self._sending = None, None
        job.call.restart()
        if not isinstance(error, EngineLostError):
            self._host.lost()
        if job.attempts >= MOST_ATTEMPTS:
            self._lost = False
            self._fail(job, error)
            return
        if not self._lost:
            self._lost = True
            self._notify(RESTARTING)
        self._begin()

    def _restored(self) -> None:
        if self._lost:
            self._lost = False
            self._notify(RESTORED)

    def _end(self, job: _Job, result: Any) -> None:  # noqa: ANN401 - of whatever the call is about
        self._job = self._sending = None
        self._alive = job.mirror if job.mirror.is_open else None
        self._restored()
        # What is posted by whom we tell stands behind what waits already.
        job.done(result)
        self._next()

    def _fail(self, job: _Job | None, error: SAMSpineError) -> None:
        if job is None or job is not self._job:
            return
        self._job = self._sending = None
        job.failed(error)
        self._next()
