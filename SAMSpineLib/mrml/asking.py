"""Asking an engine without waiting, and forgetting the answers to what was dropped meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from SAMSpineLib.engine.service.call import Call
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.engine.service.protocol import Notify
from SAMSpineLib.errors import SAMSpineError

Failed = Callable[[SAMSpineError], None]
Post = Callable[[Call[Any], SessionMirror, Callable[[Any], None], Failed], None]


class Asking:
    """The questions of a desk that still matter."""

    def __init__(self, post: Post, tell: Notify, changed: Callable[[], None]) -> None:
        """Begin with none; for the arguments see `Desk`."""
        self.tell, self.changed = tell, changed
        self._post = post
        self._ticket = 0

    def drop(self) -> None:
        """Let no answer count that is still to come."""
        self._ticket += 1

    def send(
        self, call: Call[Any], mirror: SessionMirror, done: Callable[[Any], None], failed: Failed | None = None
    ) -> None:
        """Post a call; its answer counts unless it is dropped."""
        ticket = self._ticket

        def answered(result: Any) -> None:  # noqa: ANN401 - whatever the call is about
            if ticket != self._ticket:
                return
            try:
                done(result)
            except SAMSpineError as error:
                self.fail(error)
            self.changed()

        def refused(error: SAMSpineError) -> None:
            if ticket == self._ticket:
                (failed or self.fail)(error)
                self.changed()

        self._post(call, mirror, answered, refused)
        self.changed()

    def fail(self, error: SAMSpineError) -> None:
        """Tell the user what went wrong."""
        self.tell(str(error))
