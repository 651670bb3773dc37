"""One operation of a client, without a wire: requests out, replies in, and whoever owns the wire may be slow about it.

A blocking client loops; one in an event loop sends, returns, and goes on when the reply is there:

    call = mirror.add(Point((10.0, -20.0, 30.0)))
    while True:
        status, body = send(call.request)      # method, path, headers, body
        if call.accept(status, body):
            break
    update = call.result
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from SAMSpineLib.engine.service.protocol import MESSAGE_TYPE, PROTOCOL, PROTOCOL_HEADER
from SAMSpineLib.engine.service.wire import Message, read_error
from SAMSpineLib.errors import EngineError

Result = TypeVar("Result")
OnLine = Callable[[Message], None]


@dataclass(frozen=True)
class Request:
    """What goes over the wire next.

    Attributes:
        method: of HTTP.
        path: below the engine's address, with its query.
        body: as it is sent.
        type: of the body.
        share: of the whole call (0..1) that is done when this is sent.
        on_line: set where the reply comes in lines, each of which should be fed as soon as it is there.
    """

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    type: str = MESSAGE_TYPE
    share: float = 0.0
    on_line: OnLine | None = field(default=None, repr=False)

    def headers(self, token: str | None = None) -> dict[str, str]:
        """Return the headers to send, with the token that opens the engine."""
        found = {"Content-Type": self.type, PROTOCOL_HEADER: str(PROTOCOL)}
        return found if token is None else {**found, "Authorization": f"Bearer {token}"}


# Nothing to send: whoever owns the wire lets others have their turn, and then accepts it with `BREATHED` and no body.
# So that what takes long on the client's side, too, is done a little at a time in an event loop.
BREATH = Request("", "")
BREATHED = 204


@dataclass(frozen=True)
class Reply:
    """What came back: HTTP status and body, without the lines that were fed before."""

    status: int
    body: bytes = field(repr=False)


Dialogue = Generator[Request, Reply, Result]


class Call(Generic[Result]):
    """An operation under way: send `request`, hand the reply to `accept`, until it says that this is all."""

    def __init__(self, title: str, begin: Callable[[], Dialogue[Result]], *, needs_session: bool = True) -> None:
        """Prepare an operation; nothing of it is worked out before its first request is asked for.

        Args:
            title: what it does, for a status bar.
            begin: starts the dialogue.
            needs_session: False for what opens one: it makes sense after an engine was lost without reviving before.
        """
        self.title = title
        self.needs_session = needs_session
        self._begin = begin
        self._dialogue: Dialogue[Result] | None = None
        self._request: Request | None = None
        self._buffer = b""
        self._results: list[Result] = []

    @classmethod
    def later(cls, title: str, make: Callable[[], Call[Result]]) -> Call[Result]:
        """Return a call that is made when its turn has come, since it rests on calls before it."""
        return cls(title, lambda: make()._begin())

    @property
    def request(self) -> Request:
        """What to send now; the same until its reply is accepted, so that it may be sent again after a cut."""
        if self._request is None:
            self._dialogue = self._begin()
            self._request = next(self._dialogue)
        return self._request

    @property
    def result(self) -> Result:
        """What the operation has led to.

        Raises:
            EngineError: if it is not finished.
        """
        if not self._results:
            msg = f"{self.title}: the engine has not answered yet"
            raise EngineError(msg)
        return self._results[0]

    def feed(self, chunk: bytes) -> None:
        """Take a part of a reply that comes in lines; progress is told at once."""
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        on_line = self.request.on_line
        for line in lines:
            if on_line is not None and line.strip():
                on_line(parsed(line))

    def accept(self, status: int, body: bytes = b"") -> bool:
        """Take the reply (or what of it was not fed); True if the operation is finished, False if `request` is next.

        Raises:
            SAMSpineError: what the engine refuses, as the in-process session would; the operation is over then.
        """
        request = self.request
        if request.on_line is not None and status < 400:
            self.feed(body + b"\n")
            body = b""
        reply, self._buffer = Reply(status, self._buffer + body), b""
        if self._dialogue is None:
            return True
        try:
            self._request = self._dialogue.send(reply)
        except StopIteration as end:
            self._results = [end.value]
            return True
        return False

    def cut(self) -> None:
        """Forget the part of a reply that was fed before the connection was cut."""
        self._buffer = b""

    def restart(self) -> None:
        """Begin anew, as for an engine that was started anew."""
        if self._dialogue is not None:
            self._dialogue.close()
        self._dialogue, self._request, self._buffer = None, None, b""


def parsed(body: bytes) -> Message:
    """Return the JSON object in a reply.

    Raises:
        EngineError: if it is none.
    """
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        msg = "The engine's answer cannot be read; is it a SAMSpine engine?"
        raise EngineError(msg)
    return found


def asked(request: Request) -> Dialogue[Message]:
    """Send one request and return the JSON object of its reply.

    Raises:
        SAMSpineError: what the engine refuses.
    """
    reply = yield request
    check(reply)
    return parsed(reply.body)


def check(reply: Reply) -> None:
    """Raise the error of a refusal, if a reply is one.

    Raises:
        SAMSpineError: of the class that the engine raised.
    """
    if reply.status >= 400:
        try:
            message = json.loads(reply.body)
        except ValueError:
            message = None
        raise read_error(message, reply.status)


def posted(path: str, message: Message, *, on_line: OnLine | None = None) -> Request:
    """Return the request that posts a JSON object."""
    return Request("POST", path, json.dumps(message, allow_nan=False).encode(), on_line=on_line)
