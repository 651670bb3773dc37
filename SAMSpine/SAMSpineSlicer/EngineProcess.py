"""The engine as a child process of Slicer: started when first needed, again when it has died, ended with the panel."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import qt
import slicer

from SAMSpineLib.engine.service.child import Handshake, read_handshake
from SAMSpineLib.errors import EngineError, SAMSpineError

LINES_OF_LOG = 1000


class EngineProcess:
    """An `EngineHost` of the call queue. Qt tells what the process says and when it ends; nothing is polled."""

    def __init__(self, command: Callable[[], list[str]], log: Callable[[str], None] | None = None) -> None:
        """Prepare to start what `command` returns; nothing runs yet."""
        self._command = command
        self._process: qt.QProcess | None = None
        self._waiting: list[tuple[Callable[[], None], Callable[[SAMSpineError], None]]] = []
        self._said = b""
        self._log = log
        self.lines: deque[str] = deque(maxlen=LINES_OF_LOG)
        self.handshake: Handshake | None = None

    @property
    def url(self) -> str:
        """Where the engine is."""
        return self.handshake.url if self.handshake is not None else ""

    @property
    def token(self) -> str:
        """What opens it."""
        return self.handshake.token if self.handshake is not None else ""

    @property
    def isLocal(self) -> bool:
        """Tell whether it can share memory with us."""
        return True

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs and has said where."""
        return self.handshake is not None

    def start(self, ready: Callable[[], None], failed: Callable[[SAMSpineError], None]) -> None:
        """Call `ready` as soon as the engine listens, `failed` if it does not come to that."""
        if self.handshake is not None:
            ready()
            return
        self._waiting.append((ready, failed))
        if self._process is None:
            self._launch()

    def lost(self) -> None:
        """End an engine that does not answer."""
        self.stop()

    def stop(self) -> None:
        """End the engine; who still waits for it is not told."""
        self._waiting.clear()
        process = self._forget()
        if process is not None:
            process.closeWriteChannel()
            process.kill()
            process.waitForFinished(1000)
            process.deleteLater()

    def _launch(self) -> None:
        program, *arguments = self._command()
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONPATH", os.pathsep.join([_libraryFolder(), *_paths(environment)]))
        process = self._process = qt.QProcess(
            slicer.app
        )  # without a parent, letting go of it deletes it, in its own slot
        process.setProcessEnvironment(environment)
        process.connect("readyReadStandardOutput()", self._onOutput)
        process.connect("readyReadStandardError()", self._onError)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onNotStarted)
        process.start(program, arguments)

    def _forget(self) -> "qt.QProcess | None":
        """Let go of the process and of what it says from now on."""
        process, self._process, self.handshake, self._said = self._process, None, None, b""
        if process is not None:
            process.disconnect("readyReadStandardOutput()", self._onOutput)
            process.disconnect("readyReadStandardError()", self._onError)
            process.disconnect("finished(int,QProcess::ExitStatus)", self._onFinished)
            process.disconnect("errorOccurred(QProcess::ProcessError)", self._onNotStarted)
        return process

    def _onOutput(self) -> None:
        self._said += bytes(self._process.readAllStandardOutput().data())
        line, newline, _ = self._said.partition(b"\n")
        if newline and self.handshake is None:
            try:
                self.handshake = read_handshake(line)
            except EngineError as error:
                self._end(error)
                return
            waiting, self._waiting = self._waiting, []
            for ready, _failed in waiting:
                ready()

    def _onError(self) -> None:
        for line in bytes(self._process.readAllStandardError().data()).decode(errors="replace").splitlines():
            self.lines.append(line)
            if self._log is not None:
                self._log(line)

    def _onFinished(self, *_status: object) -> None:
        last = self.lines[-1] if self.lines else "it said nothing"
        self._end(EngineError(f"The engine ended before it listened: {last}"))

    def _onNotStarted(self, *_error: object) -> None:
        if self._process is not None and self._process.state() == qt.QProcess.NotRunning:
            self._end(EngineError(f"The engine cannot be started: {self._process.errorString()}"))

    def _end(self, error: SAMSpineError) -> None:
        """Take note that the process is gone; a new one is started when somebody needs it."""
        waiting, self._waiting = self._waiting, []
        process = self._forget()
        if process is not None:
            process.kill()
            process.deleteLater()
        for _ready, failed in waiting:
            failed(error)


def _libraryFolder() -> str:
    """Return the folder that the child must find the library in: the one that we have it from."""
    import SAMSpineLib

    return str(Path(SAMSpineLib.__file__).resolve().parents[1])


def _paths(environment: "qt.QProcessEnvironment") -> list[str]:
    value = environment.value("PYTHONPATH", "")
    return [value] if value else []
