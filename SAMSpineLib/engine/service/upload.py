"""An array on its way to the engine: by its hash if it is there already, by shared memory, or in compressed pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.service.call import BREATH, Dialogue, Request, asked, posted
from SAMSpineLib.engine.service.packing import DTYPES, LEVEL, bytes_of, compress
from SAMSpineLib.engine.service.protocol import BYTES_TYPE
from SAMSpineLib.engine.service.shared import offered
from SAMSpineLib.errors import EngineError, VolumeError

# Compressed, or hashed, copied and written, in some 20 ms: nobody in an event loop notices.
PIECE = 2**20
TURN = 2**22


@dataclass(frozen=True)
class Way:
    """How voxels travel: in shared memory or in pieces, and how hard pieces are compressed (zlib, 0 to 9)."""

    shared_memory: bool = False
    compression: int = LEVEL


class Parcel:
    """An array (K, J, I) as it is sent: contiguous, in the byte order of all machines of today.

    Its `digest` is empty until it is `hashed`.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        """Take an array.

        Raises:
            VolumeError: if its voxels are of a type that cannot be sent.
        """
        if array.dtype.name not in DTYPES:
            msg = f"Voxels of type {array.dtype} cannot be sent; expected one of {', '.join(DTYPES)}"
            raise VolumeError(msg)
        self.array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        self.data = bytes_of(self.array)
        self.digest = ""

    def hashed(self) -> Dialogue[None]:
        """Hash the array, a little at a time."""
        found = _hash_of(self.array.dtype.name, self.array.shape)
        for part in turns_of(self.data.nbytes):
            found.update(self.data[part])
            yield BREATH
        self.digest = found.hexdigest()

    def sent(self, way: Way, *, share: float = 1.0) -> Dialogue[None]:
        """Bring the array to the engine, of whatever of it is not there.

        Args:
            way: how; an engine that cannot see shared memory gets pieces.
            share: of the whole call (0..1) that this makes up.

        Raises:
            EngineError: if it does not arrive.
        """
        if not self.digest:
            yield from self.hashed()
        path = f"/arrays/{self.digest}"
        about = {"shape": list(self.array.shape), "dtype": self.array.dtype.name}
        state = yield from asked(posted(path, about))
        if way.shared_memory and not state["complete"]:
            with offered(self.data.nbytes) as (name, memory):
                for part in turns_of(self.data.nbytes):
                    memory[part] = self.data[part]
                    yield BREATH
                state = yield from _unless_refused(posted(f"{path}/shared", {"name": name}), state)
        stuck = 0
        while not state["complete"]:
            start = state["received"]
            piece = compress(self.data[start : start + PIECE], way.compression)
            done = share * start / self.data.nbytes
            request = Request("PUT", f"{path}/voxels?offset={start}", piece, BYTES_TYPE, done)
            state = yield from asked(request)
            stuck = stuck + 1 if state["received"] <= start and not state["complete"] else 0
            if stuck > 3:
                msg = "The engine does not take the volume; try again"
                raise EngineError(msg)


def _unless_refused(request: Request, state: dict[str, Any]) -> Dialogue[dict[str, Any]]:
    """Return the reply, or the state as it was where the engine cannot do it."""
    try:
        return (yield from asked(request))
    except (VolumeError, EngineError):
        return state


def turns_of(size: int) -> Iterator[slice]:
    """Yield where the parts of so many bytes lie, each of `TURN` at most."""
    for start in range(0, size, TURN):
        yield slice(start, min(start + TURN, size))


def digest_of(dtype: str, shape: tuple[int, ...], data: memoryview) -> str:
    """Return the SHA-256 (hexadecimal) of an array's type, shape and bytes."""
    found = _hash_of(dtype, shape)
    found.update(data)
    return found.hexdigest()


def _hash_of(dtype: str, shape: tuple[int, ...]) -> hashlib._Hash:
    return hashlib.sha256(f"{dtype} {tuple(shape)}".encode())
