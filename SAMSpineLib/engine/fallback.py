"""When memory runs out: empty the cache and try again, then leave the GPU for the CPU, and say so.

Each question to a network is tried again by itself, so that nothing of a session is ever half done.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import ReferenceType, ref

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.survey import Localises, Share
from SAMSpineLib.errors import EngineError, SAMSpineError
from SAMSpineLib.models.localiser.localisation import Localisation
from SAMSpineLib.models.protocols import Answer, Encoded, Probability, Promptable
from SAMSpineLib.prompts import Prompt, Ras
from SAMSpineLib.volume import Grid, Volume

Found = TypeVar("Found")
Notify = Callable[[str], None]
CPU = "cpu"
CACHE_EMPTIED = "Memory ran out: the cache was emptied, and the step tried again"
WENT_TO_CPU = "The memory of the GPU is full: the engine goes on with the CPU, more slowly"


class Networks:
    """The networks of an engine: built when first asked for, and built anew for the CPU when the GPU is full."""

    def __init__(
        self,
        build_promptable: Callable[[str], Promptable],
        build_localiser: Callable[[str], Localises],
        *,
        device: str = CPU,
    ) -> None:
        """Keep how networks are built for a device."""
        self.device = device
        self.moves = 0
        self._build_promptable, self._build_localiser = build_promptable, build_localiser
        self._promptable: Promptable | None = None
        self._localiser: Localises | None = None
        self._lock = threading.RLock()

    @property
    def promptable(self) -> Promptable:
        """The network that answers prompts.

        Raises:
            ModelError: if it cannot be built.
        """
        with self._lock:
            if self._promptable is None:
                self._promptable = self._build_promptable(self.device)
            return self._promptable

    @property
    def localiser(self) -> Localises:
        """The network that finds vertebrae.

        Raises:
            ModelError: if it cannot be built.
        """
        with self._lock:
            if self._localiser is None:
                self._localiser = self._build_localiser(self.device)
            return self._localiser

    @property
    def ready(self) -> bool:
        """Tell whether the network that answers prompts is in memory."""
        return self._promptable is not None

    def load(self) -> None:
        """Bring the network that answers prompts into memory.

        Raises:
            ModelError: if it cannot be built.
        """
        _ = self.promptable

    def preload(self) -> None:
        """Do the same ahead of the first step, which will raise what goes wrong."""
        with contextlib.suppress(SAMSpineError):
            self.load()

    def leave_gpu(self) -> bool:
        """Go on with the CPU; False if that is where the networks are."""
        with self._lock:
            if self.device == CPU:
                return False
            self.device, self._promptable, self._localiser = CPU, None, None
            self.moves += 1
            return True


def is_out_of_memory(error: BaseException) -> bool:
    """Tell an error about memory from others, whichever library it comes from."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


class Sturdy:
    """Tries again with more memory."""

    def __init__(self, networks: Networks, empty_cache: Callable[[], None], notify: Notify) -> None:
        """Work with networks; `notify` is told what had to be done."""
        self.networks = networks
        self._empty_cache, self._notify = empty_cache, notify

    def attempt(self, work: Callable[[], Found]) -> Found:
        """Return what some work gives, at the third try if need be.

        Raises:
            EngineError: if memory is still not enough.
        """
        for remedy in (self._free, self._leave_gpu, lambda: False):
            moves = self.networks.moves
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Not before the error is gone: its traceback holds on to what was computed.
            if self.networks.moves == moves and not remedy():
                break
        msg = "There is not enough memory for this step, even with the cache emptied; close other programs or volumes"
        raise EngineError(msg)

    def _free(self) -> bool:
        self._empty_cache()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._notify(CACHE_EMPTIED)
        return True

    def _leave_gpu(self) -> bool:
        if not self.networks.leave_gpu():
            return False
        self._empty_cache()
        self._notify(WENT_TO_CPU)
        return True


@dataclass(eq=False)
class _Patch:
    """An encoded patch that can be encoded again where the networks have moved since."""

    volume: ReferenceType[Volume]
    inner: Encoded = field(repr=False)
    moves: int

    @property
    def grid(self) -> Grid:
        """Where the patch lies."""
        return self.inner.grid

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.inner.nbytes


class SturdyPromptable(Sturdy):
    """A `Promptable` that survives full memory."""

    name = "sturdy"

    def grid_at(self, ras: Ras) -> Grid:
        """Return the grid on which a prompt at a place (RAS mm) is best answered."""
        return self.networks.promptable.grid_at(ras)

    def encode(self, volume: Volume, grid: Grid) -> Encoded:
        """Read the volume on a grid and run the image encoder."""

        def work() -> Encoded:
            moves = self.networks.moves
            return _Patch(ref(volume), self.networks.promptable.encode(volume, grid), moves)

        return self.attempt(work)

    def decode(
        self, encoded: Encoded, prompts: Sequence[Prompt], *, previous: Probability | None = None, chain: bool = False
    ) -> Answer:
        """Segment what the prompts point at; see `Promptable.decode`."""
        return self.attempt(
            lambda: self.networks.promptable.decode(self._here(encoded), prompts, previous=previous, chain=chain)
        )

    def suggest(self, encoded: Encoded, mask: npt.NDArray[np.bool_], neighbour: Encoded) -> Probability:
        """Return a heat map (K, J, I) of where to click in a neighbouring patch; see `Promptable.suggest`."""
        return self.attempt(lambda: self.networks.promptable.suggest(self._here(encoded), mask, self._here(neighbour)))

    def _here(self, encoded: Encoded) -> Encoded:
        """Return the network's own patch, encoded again if the network has moved since."""
        if not isinstance(encoded, _Patch):
            return encoded
        volume = encoded.volume()
        if encoded.moves != self.networks.moves and volume is not None:
            moves = self.networks.moves
            encoded.inner, encoded.moves = self.networks.promptable.encode(volume, encoded.grid), moves
        return encoded.inner


class SturdyLocaliser(Sturdy):
    """A localiser that survives full memory."""

    def localise(self, volume: Volume, *, progress: Share | None = None) -> Localisation:
        """Return the maps of a whole volume; see `VolumeLocaliser.localise`."""
        return self.attempt(lambda: self.networks.localiser.localise(volume, progress=progress))
