"""An engine that somebody else runs: a department's server."""

from collections.abc import Callable
from pathlib import Path

from SAMSpineLib.errors import EngineError, SAMSpineError


class RemoteEngine:
    """An `EngineHost` of the call queue that only knows an address and the file with its token."""

    isLocal = False
    is_alive = True

    def __init__(self, address: str, tokenFile: str) -> None:
        """Take the address (http:// or https://) and the path of the token, which is read when it is needed."""
        self.url, self._tokenFile, self.token = address.rstrip("/"), tokenFile, ""

    def start(self, ready: Callable[[], None], failed: Callable[[SAMSpineError], None]) -> None:
        """Read the token; whether the server answers is seen with the first request."""
        if not self.url.startswith(("http://", "https://")):
            failed(EngineError(f"The server's address must begin with http:// or https://, got '{self.url}'"))
            return
        try:
            self.token = Path(self._tokenFile).read_text(encoding="utf-8").strip() if self._tokenFile else ""
        except OSError as error:
            failed(EngineError(f"The token file {self._tokenFile} cannot be read: {error.strerror}"))
            return
        ready()

    def lost(self) -> None:
        """Do nothing: whoever runs the server starts it again."""

    def stop(self) -> None:
        """Do nothing: the server goes on without us."""
