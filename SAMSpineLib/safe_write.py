"""Write a file whole or not at all: a neighbour first, then a rename; an older file stays until then."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from SAMSpineLib.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside `path`; when the block ends well it takes that file's place.

    Raises:
        OutputError: if the folder is missing or not writable, the disk is full, or writing failed otherwise. Nothing
            of the temporary file is left then, and what was at `path` is untouched.
    """
    target = path.resolve()
    _check_target(path, target)
    endings = "".join(target.suffixes[-2:])
    try:
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=endings, dir=target.parent)
    except OSError as error:
        raise OutputError(_failed_text(path, error.strerror)) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _take_place(temporary, target)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).strip().splitlines()[-1][-200:]
        raise OutputError(_failed_text(path, reason)) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Refuse a place where no file can be written; worth asking before hours of work.

    Raises:
        OutputError: if the folder is missing or not writable, or what is at `path` is a folder or write-protected.
    """
    target = path.resolve()
    _check_target(path, target)
    try:
        # Permissions alone do not tell: a disk can be mounted read-only, or belong to the system.
        with tempfile.NamedTemporaryFile(prefix=".writing-", dir=target.parent):
            pass
    except OSError as error:
        raise OutputError(_failed_text(path, error.strerror)) from error


def _check_target(path: Path, target: Path) -> None:
    """Refuse a place where no file can be written, before any work is done for it."""
    try:
        if not target.parent.is_dir():
            msg = f"{path} cannot be written: the folder {target.parent} does not exist; make it first"
            raise OutputError(msg)
        if target.is_dir():
            msg = f"{path} cannot be written: it is a folder; name a file"
            raise OutputError(msg)
        # A rename would replace even a file that its owner has protected.
        if target.exists() and not os.access(target, os.W_OK):
            raise OutputError(_failed_text(path, "the file there is write-protected"))
    except OSError as error:
        raise OutputError(_failed_text(path, error.strerror)) from error


def _take_place(temporary: Path, target: Path) -> None:
    """Put the finished file, flushed to the disk and with usual permissions, where it belongs."""
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.chmod(mode)
    temporary.replace(target)


def _umask() -> int:
    """Return the process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _failed_text(path: Path, reason: str | None) -> str:
    """Say that writing failed and what to do."""
    return f"{path} cannot be written: {reason or 'unknown reason'}; check space and permissions"
