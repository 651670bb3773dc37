"""`samspine` as a child process: a download takes minutes, so does ranking a folder; Slicer waits for neither."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import qt
import slicer

from SAMSpineLib.engine.service.child import serve_environment


class SpineCommand:
    """One command at a time; Qt tells what it says and when it ends."""

    def __init__(self, tell: Callable[[str], None], done: Callable[[dict[str, Any]], None]) -> None:
        """Keep whom to tell a line of progress or what went wrong, and whom to give the result."""
        self._tell, self._done = tell, done
        self._process: qt.QProcess | None = None
        self._last = ""

    @property
    def isRunning(self) -> bool:
        """Tell whether a command runs."""
        return self._process is not None

    def start(self, *words: str) -> None:
        """Run `samspine` with some words, in Slicer's Python."""
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in {**os.environ, **serve_environment()}.items():
            environment.insert(name, value)
        process = self._process = qt.QProcess(
            slicer.app
        )  # without a parent, letting go of it deletes it, in its own slot
        self._last = ""
        process.setProcessEnvironment(environment)
        process.connect("readyReadStandardError()", self._onError)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onNotStarted)
        python = shutil.which("PythonSlicer") or sys.executable
        process.start(python, ["-m", "SAMSpineLib", *words, "--json"])

    def stop(self) -> None:
        """End it; what has been downloaded so far is kept for the next time."""
        process = self._forget()
        if process is not None:
            process.kill()
            process.waitForFinished(1000)
            process.deleteLater()

    def _forget(self) -> "qt.QProcess | None":
        """Let go of the process and of what it says from now on."""
        process, self._process = self._process, None
        if process is not None:
            process.disconnect("readyReadStandardError()", self._onError)
            process.disconnect("finished(int,QProcess::ExitStatus)", self._onFinished)
            process.disconnect("errorOccurred(QProcess::ProcessError)", self._onNotStarted)
        return process

    def _onError(self) -> None:
        lines = bytes(self._process.readAllStandardError().data()).decode(errors="replace").splitlines()
        if lines:
            self._last = lines[-1]
            self._tell(self._last)

    def _onFinished(self, code: int, *_status: object) -> None:
        self._onError()
        process = self._forget()
        said = bytes(process.readAllStandardOutput().data())
        process.deleteLater()
        self._done(json.loads(said) if code == 0 else {"error": self._last})

    def _onNotStarted(self, *_error: object) -> None:
        if self._process is not None and self._process.state() == qt.QProcess.NotRunning:
            process = self._forget()
            process.deleteLater()
            self._done({"error": process.errorString()})
