"""Encoded patches of all sessions of an engine, within one bound of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from SAMSpineLib.engine.cache import EncodedCache
from SAMSpineLib.models.protocols import Encoded, Promptable
from SAMSpineLib.volume import Grid, Volume

Key = tuple[int, bytes]


class PatchStore:
    """Patches by volume and place, safe to use from several threads; the least recently used one goes first."""

    def __init__(self, *, limit_bytes: int) -> None:
        """Begin empty."""
        self._limit = limit_bytes
        self._patches: OrderedDict[Key, Encoded] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory that the store holds now."""
        with self._lock:
            return self._taken()

    def find(self, key: Key) -> Encoded | None:
        """Return a patch, or None."""
        with self._lock:
            if key in self._patches:
                self._patches.move_to_end(key)
            return self._patches.get(key)

    def keep(self, key: Key, patch: Encoded) -> None:
        """Add a patch, and make room for it; the newest stays, whatever its size."""
        with self._lock:
            self._patches[key] = patch
            while len(self._patches) > 1 and self._taken() > self._limit:
                self._patches.popitem(last=False)

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


class SharedCache(EncodedCache):
    """A session's view of the store: what another session has encoded of the same volume is there already."""

    def __init__(self, model: Promptable, store: PatchStore) -> None:
        """Encode with the session's own model, which speaks to its own user."""
        super().__init__(model, limit_bytes=0)
        self._store = store

    def get(self, volume: Volume, grid: Grid) -> Encoded:
        """Return the encoded patch, from memory if it is there."""
        key = (id(volume), grid.ijk_to_ras.tobytes())
        found = self._store.find(key)
        if found is None:
            found = self._model.encode(volume, grid)
            self.encoded_count += 1
            self._store.keep(key, found)
        return found

    def clear(self) -> None:
        """Leave it to the store: other sessions may look at the same volume."""

    def make_room(self) -> None:
        """Let go of the patches of all sessions."""
        self._store.clear()

    @property
    def nbytes(self) -> int:
        """Memory that the store holds for all sessions."""
        return self._store.nbytes
