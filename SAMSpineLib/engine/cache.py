"""Encoded patches and slices, kept within a memory bound: the least recently used one goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from SAMSpineLib.models.protocols import Encoded, Promptable
from SAMSpineLib.volume import Grid, Volume

# A volume, which is never written to, and where in it.
Key = tuple[int, bytes]


class PatchStore:
    """Patches by volume and place, safe to use from several threads."""

    def __init__(self, *, limit_bytes: int) -> None:
        """Begin empty."""
        self.limit_bytes = limit_bytes
        self._patches: OrderedDict[Key, Encoded] = OrderedDict()
        self._coming: dict[Key, Future[Encoded]] = {}
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory that the store holds now."""
        with self._lock:
            return self._taken()

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
            while len(self._patches) > 1 and self._taken() > self.limit_bytes:
                self._patches.popitem(last=False)
        mine.set_result(patch)
        return patch

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._patches.clear()

    def drop(self, volume_id: int) -> None:
        """Forget the patches of a volume that is gone."""
        with self._lock:
            for key in [key for key in self._patches if key[0] == volume_id]:
                del self._patches[key]

    def _taken(self) -> int:
        return sum(patch.nbytes for patch in self._patches.values())


class EncodedCache:
    """Encode each patch once; a patch that is asked for again costs nothing."""

    def __init__(self, model: Promptable, *, limit_bytes: int = 0, store: PatchStore | None = None) -> None:
        """Serve patches of one model, from a store of its own within a bound of memory, or from one that is shared."""
        self._model = model
        self._store = store or PatchStore(limit_bytes=limit_bytes)
        self._shared = store is not None
        self.encoded_count = 0

    def get(self, volume: Volume, grid: Grid) -> Encoded:
        """Return the encoded patch, from memory if it is there."""

        def encode() -> Encoded:
            self.encoded_count += 1
            return self._model.encode(volume, grid)

        return self._store.get(_key(volume, grid), encode)

    def holds(self, volume: Volume, grid: Grid) -> bool:
        """Tell whether a patch is encoded already, or just being encoded."""
        return self._store.holds(_key(volume, grid))

    def clear(self) -> None:
        """Forget everything, as when another volume comes; a shared store is left to those who share it."""
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


def _key(volume: Volume, grid: Grid) -> Key:
    return id(volume), grid.ijk_to_ras.tobytes()
