"""An engine in a child process: its command line, its first word, its life and its end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from SAMSpineLib.engine.service.protocol import PROTOCOL
from SAMSpineLib.errors import EngineError

PATIENCE = 10.0
UPDATE = "install the same version of SAMSpine on both sides"


@dataclass(frozen=True)
class Handshake:
    """What an engine says first: how to reach it."""

    url: str
    token: str
    pid: int
    port: int


def serve_command(
    python: str = sys.executable,
    *,
    model: str | None = None,
    weights: Path | None = None,
    device: str = "cpu",
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command line of an engine on a free port of this machine, which ends when its stdin is closed.

    Its first line on stdout is for `read_handshake`.
    """
    command = [python, "-m", "SAMSpineLib", "serve", "--json", "--with-parent", "--port", "0", "--device", device]
    command += ["--model", model] if model is not None else []
    command += ["--weights", str(weights)] if weights is not None else []
    return [*command, *options]


def serve_environment() -> dict[str, str]:
    """Return what to add to the environment, so that the child finds this very library."""
    library = str(Path(__file__).resolve().parents[3])
    paths = [library, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def read_handshake(line: bytes | str) -> Handshake:
    """Return what the first line of an engine says.

    Raises:
        EngineError: if it is no such line, or the engine speaks another version of the protocol.
    """
    try:
        found = json.loads(line)
        if found["protocol"] != PROTOCOL:
            msg = f"The engine speaks protocol {found['protocol']}, this client {PROTOCOL}: {UPDATE}"
            raise EngineError(msg)
        return Handshake(found["url"], found["token"], int(found["pid"]), int(found["port"]))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"The engine did not say how to reach it, but {line[:200]!r}"
        raise EngineError(msg) from error


class EngineProcess:
    """An engine that this process starts and stops; in Qt's event loop a QProcess does that instead."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Prepare to start a command; see `serve_command`."""
        self._command = list(command) if command is not None else serve_command()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> Handshake:
        """Start the engine, or start it again, and wait until it listens.

        Raises:
            EngineError: if it ends before; says the last line of its log.
        """
        self.stop()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, **serve_environment()},
            )
        except OSError as error:
            msg = f"The engine cannot be started: {self._command[0]}: {error.strerror}"
            raise EngineError(msg) from error
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line:
            self._process.wait(PATIENCE)
            msg = f"The engine ended before it listened: {self.last_words()}"
            raise EngineError(msg)
        return read_handshake(line)

    @property
    def pid(self) -> int | None:
        """The process's number, None before its start."""
        return self._process.pid if self._process is not None else None

    def is_alive(self, *, within: float = 0.0) -> bool:
        """Tell whether it runs; waits up to `within` seconds for the end of one that may be dying."""
        if self._process is None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        return self._process.poll() is None

    def last_words(self) -> str:
        """Return the last line of its log."""
        if self._log is None:
            return ""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """End it: first by closing its stdin, then hard."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None
