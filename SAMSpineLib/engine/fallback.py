"""When memory runs out: empty the cache, then smaller batches, then leave the GPU for the CPU, and say so each time.

Each question to a network is tried again by itself, so that nothing of a session is ever half done. Prompts are
answered patch by patch; the search for vertebrae is what looks at several parts of an image at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from weakref import ReferenceType, ref

import numpy as np
import numpy.typing as npt

from SAMSpineLib.engine.autonomous.survey import Share
from SAMSpineLib.engine.memory import Found, Notify, attempt, emptied
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.session import Session
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.labels import Label
from SAMSpineLib.models.localiser.localisation import Localisation
from SAMSpineLib.models.protocols import (
    Answer,
    Encoded,
    Probability,
    Seen,
    SliceMasks,
    SlicePromptable,
    TaughtPromptable,
    Tracker,
)
from SAMSpineLib.models.whole_map import WholeMap
from SAMSpineLib.prompts import Prompt, Ras
from SAMSpineLib.stack import Stack
from SAMSpineLib.volume import Grid, Volume

SMALLER_BATCHES = "Memory ran out: the search for vertebrae goes on in smaller batches ({count} at a time)"
WENT_TO_CPU = "The memory of the GPU is full: the engine goes on with the CPU, more slowly"


@runtime_checkable
class InBatches(Protocol):
    """A network that looks at several parts of an image at once; `batch_size` may be changed between two questions."""

    batch_size: int


class Sturdy:
    """Tries again with more memory."""

    def __init__(self, networks: Networks, empty_cache: Callable[[], None], notify: Notify) -> None:
        """Work with networks; `notify` is told what had to be done."""
        self.networks = networks
        self._empty_cache, self._notify = empty_cache, notify

    def attempt(self, work: Callable[[], Found]) -> Found:
        """Return what some work gives, after as many remedies as it takes.

        Raises:
            EngineError: if memory is still not enough.
        """
        tried: list[tuple[str, int]] = []

        def noted() -> Found:
            tried.append(self._way)
            return work()

        return attempt(noted, self._remedies(tried), self._notify)

    @property
    def _way(self) -> tuple[str, int]:
        """How networks are asked now; sessions of one engine share it."""
        return self.networks.device, self.networks.batch_size

    def _remedies(self, tried: Sequence[tuple[str, int]]) -> Iterator[str]:
        yield from emptied(self._empty_cache)
        while True:
            if self._way != tried[-1]:
                yield ""  # another session has made room meanwhile
            elif self._smaller_batches():
                self._empty_cache()
                yield SMALLER_BATCHES.format(count=self.networks.batch_size)
            elif self.networks.leave_gpu():
                self._empty_cache()
                yield WENT_TO_CPU
            else:
                return

    def _smaller_batches(self) -> bool:
        """Halve the batches, if there are any; a prompt is about one patch at a time."""
        return False


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

    @property
    def slicewise(self) -> SlicePromptable | None:
        """The same for a network that works slice by slice, or None; loads the network.

        Raises:
            ModelError: if it cannot be built.
        """
        if self.networks.promptable.slicewise is None:
            return None
        taught = isinstance(self.networks.promptable.slicewise, TaughtPromptable)
        return (SturdyTaught if taught else SturdySlices)(self.networks, self._empty_cache, self._notify)

    def grid_at(self, ras: Ras, volume: Volume) -> Grid:
        """Return the grid on which a prompt at a place (RAS mm) of a volume is best answered."""
        return self.networks.promptable.grid_at(ras, volume)

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
            lambda: self.networks.promptable.decode(self.own(encoded), prompts, previous=previous, chain=chain)
        )

    def suggest(self, encoded: Encoded, mask: npt.NDArray[np.bool_], neighbour: Encoded) -> Probability:
        """Return a heat map (K, J, I) of where to click in a neighbouring patch; see `Promptable.suggest`."""
        return self.attempt(lambda: self.networks.promptable.suggest(self.own(encoded), mask, self.own(neighbour)))

    def own(self, encoded: Encoded) -> Encoded:
        """Return the network's own patch, encoded again if the network has moved since."""
        if not isinstance(encoded, _Patch):
            return encoded
        volume = encoded.volume()
        if encoded.moves != self.networks.moves and volume is not None:
            moves = self.networks.moves
            encoded.inner, encoded.moves = self.networks.promptable.encode(volume, encoded.grid), moves
        return encoded.inner

    def volume_of(self, encoded: Encoded) -> Volume:
        """Return the volume that a patch was read from."""
        volume = encoded.volume() if isinstance(encoded, _Patch) else None
        if volume is None:
            msg = f"The volume of a slice that is followed must be open, and the slice encoded here; got {encoded!r}"
            raise TypeError(msg)
        return volume


class SturdySlices(SturdyPromptable):
    """A `SlicePromptable` that survives full memory."""

    def slice_grid(self, stack: Stack, index: int) -> Grid:
        """Return the grid on which a slice is best shown to the network."""
        return self.network.slice_grid(stack, index)

    def mask_grid(self, encoded: Encoded) -> Grid:
        """Return the grid of the masks of a slice."""
        return self.network.mask_grid(self.own(encoded))

    def offer(
        self,
        encoded: Encoded,
        prompts: Sequence[Prompt],
        *,
        previous: npt.NDArray[np.floating] | None = None,
        label: int = 0,
    ) -> SliceMasks:
        """Return masks for what the prompts point at; see `SlicePromptable.offer`."""
        return self.attempt(lambda: self.network.offer(self.own(encoded), prompts, previous=previous, label=label))

    def tracker(self, count: int) -> Tracker:
        """Return what follows a structure; where the networks leave the GPU it begins anew on the CPU."""
        return _Following(self, count)

    @property
    def network(self) -> SlicePromptable:
        """The network that works slice by slice."""
        slicewise = self.networks.promptable.slicewise
        if slicewise is None:
            msg = "Slices are only asked of a network that works slice by slice"
            raise TypeError(msg)
        return slicewise


class SturdyTaught(SturdySlices):
    """A `TaughtPromptable` that survives full memory."""

    @property
    def structures(self) -> tuple[Label, ...]:
        """What it was taught."""
        return self._taught.structures

    @property
    def normal(self) -> Ras | None:
        """Which way the slices face (RAS) in which it was taught."""
        return self._taught.normal

    def look(self, encoded: Encoded) -> Seen:
        """Return what it sees on a slice without a prompt."""
        return self.attempt(lambda: self._taught.look(self.own(encoded)))

    @property
    def _taught(self) -> TaughtPromptable:
        network = self.network
        if not isinstance(network, TaughtPromptable):
            msg = "Only a network that was taught something sees it by itself"
            raise TypeError(msg)
        return network


@dataclass(frozen=True, eq=False)
class _Known:
    """A slice whose mask a tracker was told: what it takes to tell another tracker, but for what was encoded."""

    volume: Volume
    grid: Grid
    index: int
    masks: SliceMasks
    chosen: int = 0


class _Following:
    """A tracker that survives full memory.

    What a tracker remembers lies on the device on which it began. One that begins anew is told the prompted slices, and
    the slice on which the structure was seen last as if it had been prompted too: it goes on from there.
    """

    def __init__(self, model: SturdySlices, count: int) -> None:
        self._model, self._count = model, count
        self._inner: Tracker | None = None
        self._moves = -1
        self._learnt: list[_Known] = []
        self._seen: list[_Known] = []

    def learn(self, index: int, encoded: Encoded, masks: SliceMasks, chosen: int) -> None:
        self._model.attempt(lambda: self._tracker().learn(index, self._model.own(encoded), masks, chosen))
        self._learnt.append(_Known(self._model.volume_of(encoded), encoded.grid, index, masks, chosen))

    def follow(self, index: int, encoded: Encoded, *, backwards: bool) -> SliceMasks | None:
        found = self._model.attempt(
            lambda: self._tracker().follow(index, self._model.own(encoded), backwards=backwards)
        )
        if found is not None:
            self._seen = [_Known(self._model.volume_of(encoded), encoded.grid, index, found)]
        return found

    def _tracker(self) -> Tracker:
        """Return the network's own tracker, another one if the networks have moved."""
        moves = self._model.networks.moves
        if self._inner is None or self._moves != moves:
            self._inner = None
            inner = self._model.network.tracker(self._count)
            for one in (*self._learnt, *self._seen):
                inner.learn(one.index, self._model.network.encode(one.volume, one.grid), one.masks, one.chosen)
            self._inner, self._moves = inner, moves
        return self._inner


class SturdyEyes(Sturdy):
    """`Eyes` that survive full memory."""

    def localise(self, volume: Volume, *, progress: Share | None = None) -> Localisation:
        """Return the maps of a whole volume; see `VolumeLocaliser.localise`."""

        def work() -> Localisation:
            localiser = self.networks.localiser
            if isinstance(localiser, InBatches):
                localiser.batch_size = self.networks.batch_size
            return localiser.localise(volume, progress=progress)

        return self.attempt(work)

    def segment(self, method: str, ask: Callable[[Any], WholeMap]) -> WholeMap:
        """Return what the network of a method answers; see `Eyes.segment`."""
        return self.attempt(lambda: ask(self.networks.segmenter(method)))

    def _smaller_batches(self) -> bool:
        return isinstance(self.networks.localiser, InBatches) and self.networks.halve_batches()


def sturdy_session(
    networks: Networks, notify: Notify, settings: EngineSettings | None = None
) -> tuple[Session, SturdyEyes]:
    """Return a session of this process, and eyes, that survive full memory; `notify` is told what that took."""
    caches: list[Session] = []

    def empty_cache() -> None:
        for session in caches:
            session.cache.clear()

    session = Session(SturdyPromptable(networks, empty_cache, notify), settings, notify=notify)
    caches.append(session)
    return session, SturdyEyes(networks, empty_cache, notify)
