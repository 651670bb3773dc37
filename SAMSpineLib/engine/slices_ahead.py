"""While a user looks at a slice, its neighbours are encoded: scrolling on finds them there."""

from __future__ import annotations

import contextlib
import threading

from SAMSpineLib.engine.slices import SliceReader
from SAMSpineLib.errors import SAMSpineError
from SAMSpineLib.stack import Stack


class SlicesAhead:
    """One thread that encodes what is nearest to where the user is, and nothing that would push out anything else."""

    def __init__(self, reach: int) -> None:
        """Look this many slices ahead to either side."""
        self._reach = reach
        self._wish: tuple[SliceReader, Stack, int] | None = None
        self._size = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def around(self, reader: SliceReader, stack: Stack, index: int) -> None:
        """Go on from a slice that is encoded; what was wished before and is not done yet is forgotten."""
        size = reader.encoded(stack, index).nbytes
        with self._changed:
            self._size = size
            self._wish = (reader, stack, index)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="slices-ahead", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Forget all wishes, as when another volume comes; what is being encoded now comes to its end."""
        with self._changed:
            self._wish = None

    def wait(self) -> None:
        """Return when there is nothing left to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None)

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._next()
                if found is None:
                    self._thread = None
                    self._changed.notify_all()
                    return
            reader, stack, index = found
            with contextlib.suppress(SAMSpineError, MemoryError):  # the user's own step will say so, if it comes to it
                reader.encoded(stack, index)
                continue
            self.stop()

    def _next(self) -> tuple[SliceReader, Stack, int] | None:
        """Return the nearest slice that is not encoded yet, or None where there is none, or no room."""
        if self._wish is None:
            return None
        reader, stack, middle = self._wish
        if reader.cache.room < self._size:
            return None
        for step in range(1, self._reach + 1):
            for index in (middle + step, middle - step):
                if 0 <= index < stack.count and not reader.holds(stack, index):
                    return reader, stack, index
        return None
