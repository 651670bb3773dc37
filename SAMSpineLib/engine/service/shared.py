"""Voxels in memory that two processes share: the one that makes it unlinks it, and nothing is left if either dies.

The maker's resource tracker (a helper process of Python's) unlinks what a killed maker leaves. The one that only looks
must not register with a tracker of its own, or that would unlink what is not its own: from Python 3.13 on that can be
said, before it must be kept from happening.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Iterator, Sized
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

from SAMSpineLib.errors import VolumeError

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_patching = threading.Lock()


@contextlib.contextmanager
def offered(size: int) -> Iterator[tuple[str, memoryview]]:
    """Lend the name of shared memory and its bytes, to be written by the caller; unlink it afterwards."""
    memory = SharedMemory(create=True, size=max(1, size))
    view = _bytes(memory)[:size]
    try:
        yield memory.name, view
    finally:
        view.release()
        memory.close()
        with contextlib.suppress(FileNotFoundError):
            memory.unlink()


def read_shared(name: str, into: memoryview) -> None:
    """Fill a buffer from the shared memory of a name.

    Raises:
        VolumeError: if the name is none, nothing is there, or it is too small.
    """
    if not NAME.fullmatch(name):
        msg = "The name of shared memory must be letters, digits, - and _"
        raise VolumeError(msg)
    try:
        memory = _attached(name)
    except (OSError, ValueError) as error:
        msg = "There is no shared memory of that name here; upload the volume instead"
        raise VolumeError(msg) from error
    try:
        if memory.size < into.nbytes:
            msg = f"The shared memory is too small: expected {into.nbytes} bytes, got {memory.size}"
            raise VolumeError(msg)
        into[:] = _bytes(memory)[: into.nbytes]
    finally:
        memory.close()


def _attached(name: str) -> SharedMemory:
    """Open what another process has made, and leave its end to that process."""
    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    with _patching:
        register = resource_tracker.register
        resource_tracker.register = _register_nothing
        try:
            return SharedMemory(name)
        finally:
            resource_tracker.register = register


def _bytes(memory: SharedMemory) -> memoryview:
    """Return what lies in open shared memory."""
    if memory.buf is None:
        msg = "The shared memory is closed"
        raise VolumeError(msg)
    return memory.buf


def _register_nothing(name: Sized, rtype: str) -> None:
    """Stand in for the tracker."""
