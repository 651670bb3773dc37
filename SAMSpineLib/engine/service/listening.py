"""Listening: the socket, TLS, the first line on stdout, and when to end."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import secrets
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from SAMSpineLib.engine.service.protocol import PROTOCOL
from SAMSpineLib.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from SAMSpineLib.engine.service.hosting import Hosting

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise MissingExtraError("uvicorn", "server") from error  # noqa: EM101 - a package's name

SHORTEST_TOKEN = 16
# What a client in an event loop may keep open between two clicks (s).
KEEP_ALIVE = 3600


@dataclass(frozen=True)
class Address:
    """Where and how to listen; `certificate` and `key` are PEM files."""

    host: str = "127.0.0.1"
    port: int = 0
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class PatientProtocol(H11Protocol):
    """HTTP with somebody who has to say what is wanted in good time, or is hung up on.

    That holds for the first request and for every later one on the same connection: one that is begun has to be said
    to the end of its headers within `seconds`. Between two requests a client may be silent as long as it likes.
    """

    seconds = 30.0
    _unsaid: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, not for ever."""
        super().connection_made(transport)
        self.loop.call_later(self.seconds, self._hang_up_on_the_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._wait_for_headers(begun=False)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has come, and see whether a request was begun and not said to the end."""
        super().handle_events()
        self._wait_for_headers(begun=self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0]))

    def _wait_for_headers(self, *, begun: bool) -> None:
        if begun and self._unsaid is None:
            self._unsaid = self.loop.call_later(self.seconds, self._hang_up)
        elif not begun and self._unsaid is not None:
            self._unsaid.cancel()
            self._unsaid = None

    def _hang_up_on_the_silent(self) -> None:
        if self.cycle is None:
            self._hang_up()

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class QuietServer(uvicorn.Server):
    """A server that sleeps until it is asked or told to end, instead of looking ten times a second."""

    def __init__(self, config: uvicorn.Config, before_end: Callable[[], None]) -> None:
        """Prepare to serve; `before_end` ends what is under way, so that nobody waits for it."""
        super().__init__(config)
        self._before_end = before_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    async def main_loop(self) -> None:
        """Sleep until `stop`."""
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is under way, then hang up."""
        self._before_end()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """End, from any thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on a signal."""
        super().handle_exit(sig, frame)
        self.stop()


def token_of(address: Address) -> str:
    """Return the token of a file, or a new one.

    Raises:
        EngineError: if the file is missing or too short, or there is none though others can reach the address.
    """
    if address.token_file is None:
        if not is_loopback(address.host):
            msg = f"Listening on {address.host} lets others in: give a secret of theirs with --token-file"
            raise EngineError(msg)
        return secrets.token_urlsafe(32)
    try:
        token = address.token_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        msg = f"The token file {address.token_file} cannot be read: {error}"
        raise EngineError(msg) from error
    if len(token) < SHORTEST_TOKEN or not token.isascii() or any(one.isspace() for one in token):
        msg = f"The token in {address.token_file} must be one word of at least {SHORTEST_TOKEN} plain characters"
        raise EngineError(msg)
    return token


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bound(address: Address) -> socket.socket:
    """Return a socket that listens.

    Raises:
        EngineError: if the address cannot be had.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        # Named as TCP, or asyncio would not switch Nagle's algorithm off: that costs 40 ms a reply.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
        found.listen(128)
    except OSError as error:
        msg = f"Cannot listen on {address.host} port {address.port}: {error.strerror or error}; choose another"
        raise EngineError(msg) from error
    return found


def build_server(hosting: Hosting, address: Address, token: str) -> QuietServer:
    """Return the server of an engine.

    Raises:
        EngineError: if certificate and key cannot be used.
    """
    try:
        from SAMSpineLib.engine.service.server import build_app
    except ModuleNotFoundError as error:
        package = error.name or "fastapi"
        raise MissingExtraError(package, "server") from error
    if (address.certificate is None) != (address.key is None):
        msg = "TLS needs both a certificate and its key: --tls-cert and --tls-key"
        raise EngineError(msg)
    config = uvicorn.Config(
        build_app(hosting, token=token), log_level="warning", access_log=False, ws="none",
        http=type("Protocol", (PatientProtocol,), {"seconds": hosting.settings.body_seconds}),
        limit_concurrency=hosting.settings.connections, timeout_keep_alive=KEEP_ALIVE, server_header=False,
        date_header=False, timeout_graceful_shutdown=5,
        ssl_certfile=address.certificate, ssl_keyfile=str(address.key) if address.key is not None else None,
    )  # fmt: skip
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        msg = f"The certificate {address.certificate} and key {address.key} cannot be used: {error}"
        raise EngineError(msg) from error
    return QuietServer(config, hosting.close_all)


def handshake(listening: socket.socket, address: Address, token: str) -> str:
    """Return the line (JSON) that tells a parent process how to reach the engine."""
    scheme = "https" if address.certificate is not None else "http"
    port = listening.getsockname()[1]
    host = f"[{address.host}]" if ":" in address.host else address.host
    found = {"port": port, "token": token, "pid": os.getpid(), "protocol": PROTOCOL, "url": f"{scheme}://{host}:{port}"}
    return json.dumps(found)


def end_with_stdin(stop: Callable[[], None], *, patience: float = 10.0) -> None:
    """Call `stop` when stdin is closed, as it is when the parent process ends, however it ends.

    A thread waits in a read: nothing looks at a clock. What has not ended after `patience` seconds is ended hard.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop()
        threading.Event().wait(patience)
        os._exit(1)

    threading.Thread(target=wait, name="stdin", daemon=True).start()
