"""A server of one file that does everything wrong, and a store."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from SAMSpineLib.models.store.fetching import Patience
from SAMSpineLib.models.store.model_store import ModelStore

# Long enough for a loopback connection on a busy machine, short enough for a test that waits for it.
HASTE = Patience(stall=0.5, trickle=64, attempts=3, pause=0.01)
Mood = Callable[["Asked"], None]


@dataclass
class FileServer:
    """One file at one address.

    Attributes:
        content: what it is now.
        tag: its ETag; None for a server that has no idea of versions.
        moods: what to do with the next requests, one each; then, and where it is None, what is right.
        asked: the requests so far.
    """

    content: bytes
    address: str = ""
    tag: str | None = '"one"'
    moods: list[Mood | None] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Asked:
    """A request, and the means to answer it."""

    server: FileServer
    handler: BaseHTTPRequestHandler

    @property
    def range(self) -> str | None:
        return self.handler.headers["Range"]

    @property
    def start(self) -> int:
        """The first byte that is wanted, where the client's version is still the server's."""
        same = self.handler.headers["If-Range"] in {None, self.server.tag}
        return int(self.range.removeprefix("bytes=").rstrip("-")) if self.range and same else 0

    def head(self, code: int, **headers: object) -> None:
        self.handler.send_response(code)
        if self.server.tag is not None:
            headers = {"ETag": self.server.tag, **headers}
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), str(value))
        self.handler.end_headers()

    def body(self, content: bytes) -> None:
        self.handler.wfile.write(content)
        self.handler.wfile.flush()

    def right(self, *, upto: int | None = None) -> None:
        """Answer as a good server does, but for what comes after `upto` bytes of the file."""
        content, start = self.server.content, self.start
        if self.range and start >= len(content):
            self.head(416, Content_Range=f"bytes */{len(content)}")
            return
        span = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self.head(206 if start else 200, Content_Length=len(content) - start, **span)
        self.body(content[start:upto])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Give a server of 200 kB."""
    monkeypatch.setenv("no_proxy", "*")
    shelf = FileServer(np.random.default_rng(5).bytes(200_000))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            asked = Asked(shelf, self)
            shelf.asked.append(asked)
            mood = shelf.moods.pop(0) if shelf.moods else None
            (mood or Asked.right)(asked)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        shelf.address = f"http://127.0.0.1:{listening.server_address[1]}/sam_vit_b_01ec64.pth"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield shelf
        shelf.gone.set()
        listening.shutdown()
        thread.join()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """Give the user's store, empty."""
    monkeypatch.setenv("SAMSPINE_MODELS", str(tmp_path / "models"))
    return ModelStore(tmp_path / "models")
