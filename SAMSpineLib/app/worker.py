"""One thread for the engine, one event loop for everything else: calls wait in line, and answers come back here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from SAMSpineLib.engine.service.call import Call
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.errors import EngineError, SAMSpineError

_LOG = logging.getLogger(__name__)
FAULT = "Something went wrong inside; the server's log says what. Your segments are as they were"


@dataclass(frozen=True)
class _Posted:
    call: Call[Any]
    done: Callable[[Any], None]
    failed: Callable[[SAMSpineError], None]


@dataclass(frozen=True)
class Timing:
    """Seconds that the last call took: in the engine's thread, and bringing its answer into the scene."""

    engine: float = 0.0
    node: float = 0.0


class Worker:
    """Runs calls one after the other. The next begins only when the answer to the last was taken in."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """Tell `changed` whenever what is being done changes."""
        self.doing = ""
        self.timing = Timing()
        self.steps = 0  # that are done
        self._changed = changed
        self._waiting: deque[_Posted] = deque()
        self._task: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(1, "engine")

    def post(
        self,
        call: Call[Any],
        _mirror: SessionMirror | None,
        done: Callable[[Any], None],
        failed: Callable[[SAMSpineError], None],
    ) -> None:
        """Put a call in line; `done` or `failed` is called in the loop's thread."""
        self._waiting.append(_Posted(call, done, failed))
        self._go_on()

    def close(self) -> None:
        """Forget what waits, and let the thread end with what it does now."""
        self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _go_on(self, ended: asyncio.Task[None] | None = None) -> None:
        if ended is not None:
            self._task = None
            if not ended.cancelled() and ended.exception() is not None:
                _LOG.error("An answer could not be taken in", exc_info=ended.exception())
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._work(self._waiting.popleft()))
            self._task.add_done_callback(self._go_on)

    async def _work(self, posted: _Posted) -> None:
        self.doing = posted.call.title
        self._changed()
        started = time.perf_counter()
        error = await self._answered(posted.call)
        answered = time.perf_counter()
        self.doing = ""
        try:
            if error is None:
                posted.done(posted.call.result)
            else:
                posted.failed(error)
        finally:
            self.steps += 1
            self.timing = Timing(answered - started, time.perf_counter() - answered)
            self._changed()

    async def _answered(self, call: Call[Any]) -> SAMSpineError | None:
        """Let the engine's thread do the work; return what the user can mend, or a word about what he cannot."""
        try:
            _ = call.request  # made here, since it reads the scene
        except SAMSpineError as error:
            return error
        future = asyncio.get_running_loop().run_in_executor(self._pool, call.accept, 200)
        await asyncio.wait([future])
        raised = future.exception()
        if raised is None or isinstance(raised, SAMSpineError):
            return raised
        _LOG.error("%s failed", call.title, exc_info=raised)
        return EngineError(FAULT)
