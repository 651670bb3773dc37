"""Encoded patches, kept within a memory bound: the least recently used one goes first."""

from __future__ import annotations

from collections import OrderedDict

from SAMSpineLib.models.protocols import Encoded, Promptable
from SAMSpineLib.volume import Grid, Volume


class EncodedCache:
    """Encode each patch once; a patch that is asked for again costs nothing."""

    def __init__(self, model: Promptable, *, limit_bytes: int) -> None:
        """Serve patches of one model."""
        self._model = model
        self._limit = limit_bytes
        self._patches: OrderedDict[tuple[int, bytes], Encoded] = OrderedDict()
        self.encoded_count = 0

    def get(self, volume: Volume, grid: Grid) -> Encoded:
        """Return the encoded patch, from memory if it is there."""
        key = (id(volume), grid.ijk_to_ras.tobytes())
        if key not in self._patches:
            self._patches[key] = self._model.encode(volume, grid)
            self.encoded_count += 1
        self._patches.move_to_end(key)
        self._shrink()
        return self._patches[key]

    def clear(self) -> None:
        """Forget everything, as when another volume comes."""
        self._patches.clear()

    def make_room(self) -> None:
        """Let go of what can be encoded again, when memory runs out."""
        self.clear()

    @property
    def nbytes(self) -> int:
        """Memory that the cache holds now."""
        return sum(patch.nbytes for patch in self._patches.values())

    def _shrink(self) -> None:
        # The patch in use stays, whatever its size.
        while len(self._patches) > 1 and self.nbytes > self._limit:
            self._patches.popitem(last=False)
