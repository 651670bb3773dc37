"""Encoded patches and slices, kept within a memory bound: the least recently used one goes first.

They are known by what was encoded, not by the object that held it: the content of the volume, the place, and the
network. A volume that is opened again, by whichever session, is not encoded again.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from weakref import WeakKeyDictionary

import numpy as np

from SAMSpineLib.models.protocols import Encoded, Promptable
from SAMSpineLib.volume import Grid, Volume

# The network, the content of a volume, and where in it.
Key = tuple[int, str, bytes]

_contents: WeakKeyDictionary[Volume, str] = WeakKeyDictionary()
_networks: WeakKeyDictionary[object, int] = WeakKeyDictionary()
_numbers = itertools.count()
_knowing = threading.RLock()


def content_of(volume: Volume) -> str:
    """Return what stands for a volume's voxels, place and modality.

    It is computed once for each volume, in about half a second per gigabyte; voxels are never written to after that.
    """
    with _knowing:
        if volume not in _contents:
            digest = hashlib.sha256(f"{volume.array.dtype.name} {tuple(volume.shape)}".encode())
            for part in volume.array:  # one slice after the other: an array in another order is not copied as a whole
                digest.update(np.ascontiguousarray(part).data)
            know_content(volume, digest.hexdigest())
        return _contents[volume]


def know_content(volume: Volume, digest: str) -> None:
    """Take the SHA-256 (hexadecimal) of an array from whoever has computed it: of its type, its shape and its bytes."""
    with _knowing:
        _contents[volume] = f"{digest} {volume.modality} {_place(volume.grid).hex()}"


class PatchStore:
    """Patches by volume and place, safe to use from several threads."""

    def __init__(self, *, limit_bytes: int) -> None:
        """Begin empty."""
        self.limit_bytes = limit_bytes
        self._taken = 0
        self._volumes: dict[int, str] = {}
        self._patches: OrderedDict[Key, Encoded] = OrderedDict()
        self._coming: dict[Key, Future[Encoded]] = {}
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory that the store holds now."""
        with self._lock:
            return self._taken

    def holds(self, key: Key) -> bool:
        """Tell whether a patch is here or on its way."""
        with self._lock:
            return key in self._patches or key in self._coming

    def get(self, key: Key, encode: Callable[[], Encoded]) -> Encoded:
        """Return a patch, encoded now if nobody has done so or is doing so; the newest stays, whatever its size."""
        with self._lock:
            if key in self._patches:
                self._patches.move_to_end(key)
                return self._patches[key]
            other = self._coming.get(key)
            mine: Future[Encoded] = Future()
            if other is None:
                self._coming[key] = mine
        if other is not None:
            return other.result()
        try:
            patch = encode()
        except BaseException as error:
            with self._lock:
                self._coming.pop(key, None)
            mine.set_exception(error)
            raise
        with self._lock:
            self._coming.pop(key, None)
            self._patches[key] = patch
            self._taken += patch.nbytes
            while len(self._patches) > 1 and self._taken > self.limit_bytes:
                self._taken -= self._patches.popitem(last=False)[1].nbytes
        mine.set_result(patch)
        return patch

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._patches.clear()
            self._taken = 0

    def opened(self, volume: Volume) -> str:
        """Return what stands for a volume's content, and remember that this object holds it."""
        content = content_of(volume)
        with self._lock:
            self._volumes[id(volume)] = content
        return content

    def drop(self, volume_id: int) -> None:
        """Forget the patches of a volume that is gone, unless another volume with the same content is known."""
        with self._lock:
            content = self._volumes.pop(volume_id, None)
            if content is None or content in self._volumes.values():
                return
            for key in [key for key in self._patches if key[1] == content]:
                self._taken -= self._patches.pop(key).nbytes


class EncodedCache:
    """Encode each patch once; a patch that is asked for again costs nothing."""

    def __init__(self, model: Promptable, *, limit_bytes: int = 0, store: PatchStore | None = None) -> None:
        """Serve patches of one model, from a store of its own within a bound of memory, or from one that is shared."""
        self._model = model
        self._store = store if store is not None else PatchStore(limit_bytes=limit_bytes)
        self._shared = store is not None
        self.encoded_count = 0

    def get(self, volume: Volume, grid: Grid) -> Encoded:
        """Return the encoded patch, from memory if it is there."""

        def encode() -> Encoded:
            self.encoded_count += 1
            return self._model.encode(volume, grid)

        return self._store.get(self._key(volume, grid), encode)

    def holds(self, volume: Volume, grid: Grid) -> bool:
        """Tell whether a patch is encoded already, or just being encoded."""
        return self._store.holds(self._key(volume, grid))

    def clear(self) -> None:
        """Forget everything; a shared store is left to those who share it."""
        if not self._shared:
            self._store.clear()

    def make_room(self) -> None:
        """Let go of what can be encoded again, when memory runs out."""
        self._store.clear()

    @property
    def room(self) -> int:
        """Memory that is left within the bound."""
        return max(self._store.limit_bytes - self._store.nbytes, 0)

    @property
    def nbytes(self) -> int:
        """Memory that the store holds now."""
        return self._store.nbytes

    def _key(self, volume: Volume, grid: Grid) -> Key:
        # Several models that ask the same networks, as those of an engine's sessions do, share what these encode.
        return _number_of(getattr(self._model, "networks", self._model)), self._store.opened(volume), _place(grid)


def _number_of(networks: object) -> int:
    """Return a number that no other object ever has."""
    with _knowing:
        return _networks.setdefault(networks, next(_numbers))


def _place(grid: Grid) -> bytes:
    """Return what stands for a grid; there are two zeros in floating point, and here they are one."""
    return np.array(grid.shape, np.int64).tobytes() + (grid.ijk_to_ras + 0.0).tobytes()
