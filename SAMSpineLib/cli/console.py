"""What a person sees while a verb works, what a program reads when it is done, and how it ends if it fails.

Results go to stdout; everything else, progress included, to stderr. On a terminal progress is drawn and wiped away;
elsewhere it is a line now and then, and none at all for what takes less than `PATIENCE` seconds.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from SAMSpineLib.engine.memory import is_out_of_memory
from SAMSpineLib.errors import SAMSpineError
from SAMSpineLib.progress import Counted

DONE, OUR_FAULT, YOUR_TURN, INTERRUPTED = 0, 1, 2, 130
PATIENCE = 2.0
LINE_EVERY = 15.0
FEW = 5
NO_ROOM = "There is not enough memory for this; close other programs, or take a smaller image"

# What the system refuses is for the user to mend, wherever it comes from.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def print_json(result: dict[str, Any]) -> None:
    """Write the one JSON object of a verb to stdout."""
    typer.echo(json.dumps(result, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table to stdout, its first column to the left and all others to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*row)
    # In a file or a pipe nothing is gained by breaking lines.
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200).print(table)


def note(text: str) -> None:
    """Tell a person something on stderr."""
    typer.secho(text, err=True, fg="yellow")


def note_few(texts: Sequence[str]) -> None:
    """Tell what had to be mended: of many files the first, and how many more there are."""
    for text in texts[:FEW]:
        note(text)
    if texts[FEW:]:
        note(f"... and {len(texts) - FEW} more of this kind")


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for a table, a dash where there is none."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"  # noqa: PLR0124 - NaN differs from itself


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something of unknown length goes on, if it takes more than a moment."""
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(f"{what} ..."):
            yield
        return
    line = threading.Timer(PATIENCE, typer.echo, [f"{what} ..."], {"err": True})
    line.daemon = True
    line.start()
    try:
        yield
    finally:
        line.cancel()


@contextmanager
def natives_silent() -> Iterator[None]:
    """Keep what libraries in C++ write to stderr past Python away from the user; we say it better."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def counting(what: str) -> Iterator[Counted]:
    """Show how far something has come, and how long it will still take; lends a function (done, total, detail)."""
    if not sys.stderr.isatty():
        yield _Lines(what).tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int, detail: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{what}: {detail}")

        yield tell


class _Lines:
    """Progress where nobody can draw: a line after `PATIENCE` seconds, then one each `LINE_EVERY` seconds."""

    def __init__(self, what: str) -> None:
        """Begin now."""
        self._what = what
        self._started = time.monotonic()
        self._due = self._started + PATIENCE
        self._first: int | None = None

    def tell(self, done: int, total: int, detail: str) -> None:
        """Write a line if one is due."""
        now = time.monotonic()
        if self._first is None:
            # A resumed run begins in the middle: what was done before says nothing about the speed.
            self._first = done - 1
        if now < self._due or done >= total:
            return
        self._due = now + LINE_EVERY
        left = (now - self._started) / (done - self._first) * (total - done)
        typer.echo(f"{self._what}: {done}/{total}, {detail}, about {left:.0f} s left", err=True)


def report_error(error: BaseException, *, debug: bool) -> int:
    """Say on stderr what went wrong and return the exit code that belongs to it."""
    text, code = _explained(error)
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if text:
        typer.secho(" ".join(text.split()), err=True, fg="red")
    return code


def _explained(error: BaseException) -> tuple[str, int]:
    """Return what to say about an error, and the exit code."""
    if isinstance(error, SAMSpineError) or is_out_of_memory(error):
        return str(error) if isinstance(error, SAMSpineError) else NO_ROOM, YOUR_TURN
    if isinstance(error, SystemExit):
        return "", error.code if isinstance(error.code, int) else OUR_FAULT
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted", INTERRUPTED
    if isinstance(error, typer.TyperException):
        return _usage(error), YOUR_TURN
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        return f"{error.filename or 'A file'} cannot be used: {error.strerror}; check space and permissions", YOUR_TURN
    return _our_fault(error), OUR_FAULT


def _usage(error: typer.TyperException) -> str:
    """Say what is wrong with the words of a command, and where to look."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "samspine"
    text = error.format_message()
    return f"{text} See '{command} --help'."


def _our_fault(error: BaseException) -> str:
    """Name an error nobody expected, and the line it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "SAMSpineLib" in frame.filename] or frames
    where = f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    kind = type(error).__name__
    return f"This is a fault of SAMSpine: {kind}: {error}{where}; run it again with --debug and report what it prints"
