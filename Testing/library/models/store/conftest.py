"""A server of one file that does everything wrong, a store, and checkpoints as others write them."""

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


@dataclass(frozen=True)
class MetaFiles:
    """Two checkpoints, and the weights in them."""

    sam: Path
    sam_weights: dict[str, Any]
    sam2: Path
    sam2_weights: dict[str, Any]


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


@pytest.fixture(scope="session")
def meta_files(tmp_path_factory: pytest.TempPathFactory) -> MetaFiles:
    """Give checkpoints in Meta's own formats, of weights drawn at random: SAM's ViT-B, SAM 2.1's tiny Hiera.

    SAM is saved as a state dict, SAM 2 below the key `model`. ViT-B is in half precision, for the disk's sake.
    """
    torch = pytest.importorskip("torch")
    from sam2.build_sam import build_sam2
    from segment_anything import sam_model_registry

    folder = tmp_path_factory.mktemp("meta")
    torch.manual_seed(6)
    sam = sam_model_registry["vit_b"]().half().state_dict()
    torch.save(sam, folder / "sam_vit_b_01ec64.pth")
    sam2 = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", None, device="cpu").state_dict()
    torch.save({"model": sam2}, folder / "sam2.1_hiera_tiny.pt")
    return MetaFiles(folder / "sam_vit_b_01ec64.pth", sam, folder / "sam2.1_hiera_tiny.pt", sam2)


@pytest.fixture(scope="session")
def small_sam(meta_files: MetaFiles) -> dict[str, Any]:
    """Give tensors with the names of SAM's ViT-B and almost no content: all but the shapes that are looked at."""
    torch = pytest.importorskip("torch")
    telling = {"image_encoder.patch_embed.proj.weight": (768, 3, 16, 16), "image_encoder.pos_embed": (1, 64, 64, 768)}
    # An expanded tensor has a shape, and one number of content, also on disk.
    return {name: torch.zeros(1).expand(telling.get(name, (2,))) for name in meta_files.sam_weights}
