"""An engine in a thread of the test, for what no engine in a process of its own could be made to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TOKEN = "a token for tests only"


@contextmanager
def serving(hosting: Any, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve sessions until the end of the block; lends address and token file."""
    from SAMSpineLib.engine.service.listening import Address, bound, build_server

    listening = bound(Address())
    server = build_server(hosting, Address(), TOKEN)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    token = folder / "token"
    token.write_text(TOKEN, encoding="utf-8")
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", str(token)
    finally:
        server.stop()
        thread.join(10)
