"""Volumes and label maps on the server, each under the hash of its content, within a bound of memory."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.service.packing import DTYPES, bytes_of, expand_at_most
from SAMSpineLib.engine.service.settings import ServiceSettings
from SAMSpineLib.engine.service.shared import read_shared
from SAMSpineLib.engine.service.upload import digest_of
from SAMSpineLib.errors import EngineError, VolumeError

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Stored:
    """An array that is here, or on its way."""

    array: Array = field(repr=False)
    received: int = 0
    complete: bool = False
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def data(self) -> memoryview:
        """Its bytes, to write into."""
        return bytes_of(self.array)


class ArrayStore:
    """Arrays by hash; those that no session uses make room for others, the longest unused first."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Begin empty."""
        self._settings = settings
        self._arrays: dict[str, Stored] = {}
        self._reserved = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory that voxels take, label maps of sessions included."""
        with self._lock:
            return self._taken()

    def begin(self, digest: str, shape: tuple[int, int, int], dtype: str) -> Stored:
        """Return the array of a hash, as far as it is here; make room for it if it is new.

        Raises:
            VolumeError: if it is too large or of an unknown type.
            EngineError: if the sessions in use leave no room.
        """
        if dtype not in DTYPES or min(shape) < 1:
            msg = f"Expected voxels of a plain type along three axes, got {dtype} of shape {tuple(shape)}"
            raise VolumeError(msg)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > self._settings.volume_bytes:
            msg = f"The volume takes {size} bytes, {self._settings.volume_bytes} are allowed here; crop or resample it"
            raise VolumeError(msg)
        with self._lock:
            stored = self._arrays.get(digest)
            if stored is not None and (stored.array.shape, stored.array.dtype.name) != (shape, dtype):
                msg = f"Under this hash lie voxels of type {stored.array.dtype} and shape {stored.array.shape}"
                raise VolumeError(msg)
            if stored is None:
                self._make_room(size)
                stored = self._arrays[digest] = Stored(np.empty(shape, dtype))
            stored.used = time.monotonic()
            return stored

    def add_piece(self, digest: str, offset: int, piece: bytes) -> Stored:
        """Add the piece that follows what is here; any other piece changes nothing.

        Raises:
            VolumeError: if the piece is damaged, or the whole is not what its hash says.
            EngineError: if the upload was not begun.
        """
        stored = self.known(digest)
        with stored.lock:
            if stored.complete or offset != stored.received:
                return stored
            left = min(stored.array.nbytes - offset, self._settings.piece_bytes)
            data = expand_at_most(piece, left)
            stored.data[offset : offset + len(data)] = data
            stored.received += len(data)
            if stored.received == stored.array.nbytes:
                self._finish(digest, stored)
        return stored

    def take_shared(self, digest: str, name: str) -> Stored:
        """Copy the array from shared memory of this machine.

        Raises:
            VolumeError: if it is not there, or not what its hash says.
            EngineError: if the upload was not begun.
        """
        stored = self.known(digest)
        with stored.lock:
            if not stored.complete:
                read_shared(name, stored.data)
                stored.received = stored.array.nbytes
                self._finish(digest, stored)
        return stored

    def known(self, digest: str) -> Stored:
        """Return an array whose upload has begun at least.

        Raises:
            EngineError: if it has not.
        """
        with self._lock:
            if digest not in self._arrays:
                msg = "The engine has no such volume; send it first"
                raise EngineError(msg)
            self._arrays[digest].used = time.monotonic()
            return self._arrays[digest]

    def use(self, digest: str, *, extra_bytes: int = 0) -> Array:
        """Return a complete array, which stays until `release`, and set memory aside for a session's label map.

        Raises:
            EngineError: if it is not here whole, or there is no room for the label map.
        """
        stored = self.known(digest)
        with self._lock:
            if not stored.complete:
                msg = f"The volume has not arrived whole: {stored.received} of {stored.array.nbytes} bytes"
                raise EngineError(msg)
            stored.users += 1
            try:
                self._make_room(extra_bytes)
            except EngineError:
                stored.users -= 1
                raise
            self._reserved += extra_bytes
            return stored.array

    def release(self, digest: str, *, extra_bytes: int = 0) -> None:
        """Say that a session has done with an array."""
        with self._lock:
            self._reserved -= extra_bytes
            if digest in self._arrays:
                self._arrays[digest].users -= 1
                self._arrays[digest].used = time.monotonic()

    def expire(self, before: float) -> float | None:
        """Forget what no session uses since a time (monotonic seconds); return when the next one was used last."""
        with self._lock:
            idle = {digest: one for digest, one in self._arrays.items() if not one.users}
            for digest, one in idle.items():
                if one.used <= before:
                    del self._arrays[digest]
            return min((one.used for one in idle.values() if one.used > before), default=None)

    def _finish(self, digest: str, stored: Stored) -> None:
        """Check the whole against its hash; forget it if it is something else."""
        if digest_of(stored.array.dtype.name, stored.array.shape, stored.data) != digest:
            with self._lock:
                self._arrays.pop(digest, None)
            msg = "The volume arrived damaged: it is not what its hash says; send it again"
            raise VolumeError(msg)
        stored.array.flags.writeable = False
        stored.complete = True

    def _taken(self) -> int:
        return self._reserved + sum(one.array.nbytes for one in self._arrays.values())

    def _make_room(self, size: int) -> None:
        for digest in sorted(self._arrays, key=lambda one: self._arrays[one].used):
            if self._taken() + size <= self._settings.memory_bytes:
                return
            if not self._arrays[digest].users:
                del self._arrays[digest]
        if self._taken() + size > self._settings.memory_bytes:
            msg = f"The engine has no room for {size} more bytes: other sessions use it; close one, or try later"
            raise EngineError(msg)
