"""One process at a time: a lock that goes with the process that holds it, however that ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from SAMSpineLib.errors import OutputError

RETRY_S = 0.05

if sys.platform == "win32":
    import msvcrt

    def _take(handle: BinaryIO) -> None:
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held(path: Path, what: str, *, patience_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file, which stays when the lock is given back, for as long as the block runs.

    Args:
        path: of the lock file; its folder is made where it is missing.
        what: what holds the lock elsewhere, for the message.
        patience_s: how long (seconds) another holder is waited for.

    Raises:
        OutputError: if another process or thread still holds it, or the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        msg = f"{path.parent} cannot be written: {error.strerror}; check space and permissions"
        raise OutputError(msg) from error
    with handle:
        end = time.monotonic() + patience_s
        while not _taken(handle):
            if time.monotonic() >= end:
                msg = f"{what} is going on in another process; wait until that has ended"
                raise OutputError(msg)
            time.sleep(RETRY_S)
        yield


def _taken(handle: BinaryIO) -> bool:
    """Try to take the lock of an open file; tell whether it was free."""
    try:
        _take(handle)
    except OSError:
        return False
    return True
