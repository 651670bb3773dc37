"""The way to an engine: our own child process or a server, and the queue of what is asked of it."""

import shutil
import sys
from collections.abc import Callable
from typing import Any

from SAMSpineLib.engine.service.call_queue import CallQueue
from SAMSpineLib.engine.service.child import serve_command
from SAMSpineLib.engine.service.mirror import SessionMirror
from SAMSpineLib.errors import SAMSpineError
from SAMSpineSlicer.EngineProcess import EngineProcess
from SAMSpineSlicer.HttpTransport import HttpTransport
from SAMSpineSlicer.ParameterNode import ParameterNode
from SAMSpineSlicer.RemoteEngine import RemoteEngine


class Connection:
    """Made from the settings of the parameter node; other settings make another connection."""

    def __init__(self, settings: ParameterNode, tell: Callable[[str], None], log: Callable[[str], None]) -> None:
        """Prepare the way; nothing is started before the first call is posted."""
        self.settings = self.key(settings)
        self._tell = tell
        command = _command(settings)
        self.engine: Any = (
            RemoteEngine(settings.serverAddress, settings.tokenFile)
            if settings.serverAddress
            else EngineProcess(lambda: command, log)
        )
        self._transport = HttpTransport(self.engine)
        self.queue = CallQueue(self._transport, self.engine, tell)
        self._transport.fed = self.queue.fed

    @staticmethod
    def key(settings: ParameterNode) -> tuple[object, ...]:
        """Return what a connection depends on."""
        names = ("serverAddress", "tokenFile", "modelName", "device", "precision", "cacheSizeMB")
        return tuple(getattr(settings, name) for name in names)

    def newMirror(self) -> SessionMirror:
        """Return our side of a new session."""
        return SessionMirror(notify=self._tell, shared_memory=self.engine.isLocal)

    def post(
        self, call: Any, mirror: SessionMirror, done: Callable[[Any], None], failed: Callable[[SAMSpineError], None]
    ) -> None:
        """Ask something of the engine; see `CallQueue.post`."""
        self.queue.post(call, mirror, done, failed)

    def forget(self) -> None:
        """Drop what was asked; the engine stays."""
        self.queue.clear()

    def close(self) -> None:
        """Drop what was asked, hang up, and end an engine of our own."""
        self.queue.clear()
        self._transport.close()
        self.engine.stop()


def _command(settings: ParameterNode) -> list[str]:
    """Return the command line of an engine with these settings, run by Slicer's Python."""
    python = shutil.which("PythonSlicer") or sys.executable
    return serve_command(
        python,
        model=settings.modelName,
        device=settings.device,
        options=("--cache-mib", str(settings.cacheSizeMB), "--precision", settings.precision),
    )
