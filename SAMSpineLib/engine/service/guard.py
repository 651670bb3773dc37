"""Who may come in, and with how much: the token, the version of the protocol, sizes, and a limit on waiting."""

from __future__ import annotations

import asyncio
import hmac
import json
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from SAMSpineLib.engine.service.protocol import MESSAGE_TYPE, PROTOCOL, PROTOCOL_HEADER
from SAMSpineLib.engine.service.settings import ServiceSettings
from SAMSpineLib.errors import EngineError

# A message has to bring at least this many bytes in the time that one part may take.
SLOWEST = 2**16
TOO_SLOW = "The message did not arrive in time; send it again"
# Without having read the body the connection cannot be used again.
CLOSE = {"Connection": "close"}
OPEN_PATHS = ("/health",)


class Guard:
    """ASGI middleware in front of everything else."""

    def __init__(self, app: ASGIApp, *, token: str, settings: ServiceSettings) -> None:
        """Let those pass who know the token."""
        self._app, self._settings = app, settings
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a bound on the body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = self._refusal(scope["path"], headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        await self._app(scope, self._bounded(receive), send)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """Return status and text of a refusal, or None."""
        given = headers.get(b"authorization", b"")
        if path not in OPEN_PATHS and not hmac.compare_digest(given, self._expected):
            return 401, "The engine's token is missing or wrong; take it from where the engine was started"
        theirs = headers.get(PROTOCOL_HEADER.lower().encode(), str(PROTOCOL).encode())
        if theirs != str(PROTOCOL).encode():
            older = "client" if theirs.isdigit() and int(theirs[:9]) < PROTOCOL else "engine"
            said = theirs[:20].decode("latin-1")
            text = f"Client and engine do not fit: they speak protocol {said} and {PROTOCOL}; update the {older}"
            return 400, text
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._settings.message_bytes:
            return 413, self._too_large
        return None

    @property
    def _too_large(self) -> str:
        return f"The message is larger than the {self._settings.message_bytes} bytes that are allowed"

    def _bounded(self, receive: Receive) -> Receive:
        """Return a `receive` that stops at the limit of size, and waits neither for ever nor for one byte at a time."""
        seen, over, begun = 0, False, time.monotonic()

        async def bounded() -> Message:
            nonlocal seen, over
            if over:
                return await receive()
            patience = self._settings.body_seconds
            left = begun + patience * (1 + seen / SLOWEST) - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), min(patience, max(left, 0.0)))
            except TimeoutError:
                raise HTTPException(408, TOO_SLOW, CLOSE) from None
            seen += len(message.get("body", b""))
            over = not message.get("more_body", False)
            if seen > self._settings.message_bytes:
                raise HTTPException(413, self._too_large, CLOSE)
            return message

        return bounded


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": {"type": EngineError.__name__, "message": text}}).encode()
    headers = [(b"content-type", MESSAGE_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in CLOSE.items()]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
