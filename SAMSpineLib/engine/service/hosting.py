"""All sessions of an engine: who may open one, which share a volume, and when one is forgotten."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.cache import EncodedCache, PatchStore, know_content
from SAMSpineLib.engine.fallback import SturdyEyes, SturdyPromptable
from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service.arrays import ArrayStore
from SAMSpineLib.engine.service.hosted import BusyError, HostedSession
from SAMSpineLib.engine.service.jobs import RecordingSession
from SAMSpineLib.engine.service.settings import ServiceSettings
from SAMSpineLib.engine.service.wire import Message, lesson_message, read_coloured
from SAMSpineLib.engine.settings import EngineSettings
from SAMSpineLib.errors import EngineError, EngineLostError, LabelError
from SAMSpineLib.lesson_order import LabelledVolume, LessonOrder, Teacher
from SAMSpineLib.progress import StageProgress
from SAMSpineLib.volume import Volume

Found = TypeVar("Found")


@dataclass(eq=False)
class _Place:
    """A hosted session and what it takes."""

    hosted: HostedSession
    digest: str
    map_bytes: int


@dataclass(eq=False)
class Hosting:
    """An engine's sessions.

    Attributes:
        networks: that answer.
        settings: limits.
        engine: settings of each session.
        atlases: for autonomous runs, read when they are needed.
        model_name: for /info.
        teacher: carries orders to teach out; None where this engine does not teach.
    """

    networks: Networks
    settings: ServiceSettings = field(default_factory=ServiceSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    atlases: Callable[[], Sequence[Atlas]] = tuple
    model_name: str = ""
    teacher: Teacher | None = None
    arrays: ArrayStore = field(init=False)
    patches: PatchStore = field(init=False)

    def __post_init__(self) -> None:
        """Begin without sessions."""
        self.arrays = ArrayStore(self.settings)
        self.patches = PatchStore(limit_bytes=self.engine.cache_bytes)
        self._places: dict[str, _Place] = {}
        self._opening = 0
        self._volumes: weakref.WeakValueDictionary[tuple[str, bytes, str], Volume] = weakref.WeakValueDictionary()
        self._turn = threading.BoundedSemaphore(self.settings.computing)
        self._desk = ThreadPoolExecutor(4, thread_name_prefix="desk")
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """Number of open sessions."""
        return len(self._places)

    async def at_desk(self, work: Callable[..., Found], *words: Any) -> Found:  # noqa: ANN401 - as the work takes them
        """Do something short for a client, away from the event loop."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._desk, work, *words)
        finally:
            self._set_timer()

    async def open(self, message: Message) -> str:
        """Open a session and return its name.

        Raises:
            BusyError: if there are as many as are allowed.
            EngineError: if the volume is not here, or there is no room.
            LabelError: if the earlier label map does not fit.
        """
        if message["replaces"] is not None:
            self.close(message["replaces"])
        if self.count + self._opening >= self.settings.sessions:
            msg = f"All {self.settings.sessions} sessions of this engine are in use; close one, or try later"
            raise BusyError(msg)
        self._opening += 1
        try:
            place = await self.at_desk(self._open, message)
        finally:
            self._opening -= 1
        self._places[place.hosted.name] = place
        self._set_timer()
        return place.hosted.name

    def find(self, name: str) -> HostedSession:
        """Return a session.

        Raises:
            EngineLostError: if it is not (or no longer) here.
        """
        if name not in self._places:
            msg = "The engine does not know this session: it was closed, idle too long, or the engine was started anew"
            raise EngineLostError(msg)
        return self._places[name].hosted

    def close(self, name: str) -> bool:
        """Close a session; True if there was one."""
        place = self._places.pop(name, None)
        if place is not None:
            place.hosted.close(lambda: self.arrays.release(place.digest, extra_bytes=place.map_bytes))
        return place is not None

    def close_all(self) -> None:
        """Close every session and let go of the threads."""
        for name in list(self._places):
            self.close(name)
        if self._timer is not None:
            self._timer.cancel()
        self._desk.shutdown(wait=False, cancel_futures=True)

    def _open(self, message: Message) -> _Place:
        shape = self.arrays.known(message["array"]).array.shape
        map_bytes = int(np.prod(shape)) * np.dtype(np.uint16).itemsize
        array = self.arrays.use(message["array"], extra_bytes=map_bytes)
        opened = False
        try:
            labels = self._labels(message["labels"], array.shape)
            hosted = self._hosted(self._volume(array, message), labels)
            opened = True
            return _Place(hosted, message["array"], map_bytes)
        finally:
            if not opened:
                self.arrays.release(message["array"], extra_bytes=map_bytes)

    def _labels(self, digest: str | None, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint16]] | None:
        if digest is None:
            return None
        labels = self.arrays.use(digest)
        self.arrays.release(digest)
        if labels.shape != shape or labels.dtype != np.uint16:
            msg = f"The earlier result must be uint16 of shape {shape}, got {labels.dtype} of shape {labels.shape}"
            raise LabelError(msg)
        return labels

    def _volume(self, array: np.ndarray[Any, Any], message: Message) -> Volume:
        """Return the volume that other sessions may have open already."""
        matrix = np.asarray(message["ijk_to_ras"], np.float64)
        key = (message["array"], matrix.tobytes(), message["modality"])
        volume = self._volumes.get(key)
        if volume is None:
            volume = Volume.from_array(array, matrix, name=message["name"], modality=message["modality"])
            if volume.array is array:  # else its bytes are others than those whose digest is known
                know_content(volume, message["array"])
            self._volumes[key] = volume
            weakref.finalize(volume, self.patches.drop, id(volume))
        return volume

    def _hosted(self, volume: Volume, labels: np.ndarray[Any, np.dtype[np.uint16]] | None) -> HostedSession:
        notices: list[str] = []
        model = SturdyPromptable(self.networks, self.patches.clear, notices.append)
        session = RecordingSession(model, self.engine, notify=notices.append)
        session.set_volume(volume, labels)
        session.cache = EncodedCache(model, store=self.patches)
        hosted = HostedSession(
            session, SturdyEyes(self.networks, self.patches.clear, notices.append), self.atlases,
            settings=self.settings, turn=self._turn, teacher=self._teach,
        )  # fmt: skip
        hosted.notices = notices
        return hosted

    def _teach(self, message: Message, progress: StageProgress, cancelled: Callable[[], bool]) -> Message:
        """Carry an order to teach out.

        Raises:
            EngineError: if this engine does not teach, or voxels are not here.
            SAMSpineError: if it cannot be taught.
        """
        if self.teacher is None:
            msg = "This engine does not teach"
            raise EngineError(msg)
        structures = tuple(read_coloured(one) for one in message["structures"])
        volumes = tuple(self._labelled(row) for row in message["volumes"])
        order = LessonOrder(message["name"], structures, volumes, message["steps"])
        return lesson_message(self.teacher(order, progress=progress, cancelled=cancelled))

    def _labelled(self, row: Message) -> LabelledVolume:
        array, labels = (self.arrays.known(row[name]).array for name in ("array", "labels"))
        if labels.shape != array.shape or labels.dtype != np.uint16:
            got = f"{labels.dtype} of shape {labels.shape}"
            msg = f"The labels of {row['subject']} must be uint16 of shape {array.shape}, got {got}"
            raise LabelError(msg)
        volume = Volume.from_array(array, np.asarray(row["ijk_to_ras"]), name=row["subject"], modality=row["modality"])
        return LabelledVolume(volume, labels, row["subject"], row["complete"])

    # Nobody looks at a clock: one timer, set for the next that can expire.

    def _set_timer(self) -> None:
        if self._timer is None and (self._places or self.arrays.nbytes):
            self._timer = asyncio.get_running_loop().call_later(self.settings.idle_seconds, self._expire)

    def _expire(self) -> None:
        before = time.monotonic() - self.settings.idle_seconds
        for name, place in list(self._places.items()):
            if not place.hosted.busy and place.hosted.used <= before:
                self.close(name)
        oldest = self.arrays.expire(before)
        times = [place.hosted.used for place in self._places.values()] + ([oldest] if oldest is not None else [])
        self._timer = None
        if times or self.arrays.nbytes:
            wait = max(min(times, default=time.monotonic()) - before, 0.05 * self.settings.idle_seconds)
            self._timer = asyncio.get_running_loop().call_later(wait, self._expire)
