"""One process at a time: a lock that goes with the process that holds it, however that ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from SAMSpineLib.errors import ModelError, OutputError

if sys.platform == "win32":
    import msvcrt

    def _take(handle: BinaryIO) -> None:
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, which stays when the lock is given back, for as long as the block runs.

    Raises:
        ModelError: if another process holds it; `what` says what it does.
        OutputError: if the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        msg = f"{path.parent} cannot be written: {error.strerror}; check space and permissions"
        raise OutputError(msg) from error
    with handle:
        try:
            _take(handle)
        except OSError as error:
            msg = f"{what} is going on in another process; wait until that has ended"
            raise ModelError(msg) from error
        yield
