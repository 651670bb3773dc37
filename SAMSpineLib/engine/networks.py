"""The networks of an engine: built when they are asked for, and built anew where they have to move."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from SAMSpineLib.engine.autonomous.survey import Localises
from SAMSpineLib.errors import ModelError, SAMSpineError
from SAMSpineLib.models.protocols import Promptable

CPU = "cpu"


class Networks:
    """The networks of an engine: built when first asked for, and built anew for the CPU when the GPU is full."""

    def __init__(
        self,
        build_promptable: Callable[[str], Promptable],
        build_localiser: Callable[[str], Localises],
        *,
        device: str = CPU,
        batch_size: int = 1,
        find_device: Callable[[str], str] = str,
        build_segmenter: Callable[[str, str], Any] | None = None,
    ) -> None:
        """Keep how networks are built for a device.

        Args:
            build_promptable: is given the device.
            build_localiser: likewise.
            device: where to compute, or a word that `find_device` understands.
            batch_size: parts of an image that a GPU looks at together; on the CPU it is one.
            find_device: is asked before the first network is built.
            build_segmenter: is given a method and the device; None where nothing segments whole volumes.
        """
        self.device = device
        self.moves = 0
        self._batch_size, self._find_device = batch_size, find_device
        self._build_promptable, self._build_localiser = build_promptable, build_localiser
        self._promptable: Promptable | None = None
        self._localiser: Localises | None = None
        self._build_segmenter, self._segmenters = build_segmenter, dict[str, Any]()
        self._lock = threading.RLock()

    @property
    def promptable(self) -> Promptable:
        """The network that answers prompts.

        Raises:
            ModelError: if it cannot be built.
        """
        with self._lock:
            if self._promptable is None:
                self.device = self._find_device(self.device)
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
                self.device = self._find_device(self.device)
                self._localiser = self._build_localiser(self.device)
            return self._localiser

    def segmenter(self, method: str) -> Any:
        """Return the network that segments whole volumes by a method of autonomous mode.

        Raises:
            ModelError: if it cannot be built.
        """
        with self._lock:
            if method not in self._segmenters:
                if self._build_segmenter is None:
                    msg = f"There is no network for the method '{method}' here"
                    raise ModelError(msg)
                self.device = self._find_device(self.device)
                self._segmenters[method] = self._build_segmenter(method, self.device)
            return self._segmenters[method]

    @property
    def ready(self) -> bool:
        """Tell whether the network that answers prompts is in memory."""
        return self._promptable is not None

    def load(self, *, localiser: bool = False) -> None:
        """Bring the network that answers prompts into memory, and the one that finds vertebrae if asked to.

        Raises:
            ModelError: if one cannot be built.
        """
        _ = self.promptable, localiser and self.localiser

    def preload(self) -> None:
        """Do the same ahead of the first step, which will raise what goes wrong."""
        with contextlib.suppress(SAMSpineError):
            self.load()

    @property
    def batch_size(self) -> int:
        """Parts of an image that are looked at together."""
        return 1 if self.device == CPU else self._batch_size

    def halve_batches(self) -> bool:
        """Go on with batches of half the size; False if that is one already."""
        with self._lock:
            if self.batch_size <= 1:
                return False
            self._batch_size //= 2
            return True

    def leave_gpu(self) -> bool:
        """Go on with the CPU; False if that is where the networks are."""
        with self._lock:
            if self.device == CPU:
                return False
            self.device, self._promptable, self._localiser = CPU, None, None
            self._segmenters.clear()
            self.moves += 1
            return True
