"""How far a run of autonomous mode is, how long its stages took, and whether somebody wants it to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from SAMSpineLib.errors import Cancelled
from SAMSpineLib.progress import StageProgress

CANCELLED = "Cancelled; what was finished is kept"


@dataclass
class Watch:
    """Tells how far the whole run is, times the stages, and ends it when asked to.

    Attributes:
        shares: of the whole time that each stage takes, about.
        progress: called with the stage's name and the share (0..1) of the whole run that is done.
        cancelled: asked whenever something is told; True ends the run.
        seconds: that each stage took.
    """

    shares: Mapping[str, float]
    progress: StageProgress | None
    cancelled: Callable[[], bool] | None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """Give what tells the share (0..1) of a stage that is done, while that runs; it raises Cancelled to end it."""
        before, started = sum(self.shares[done] for done in self.seconds), time.perf_counter()

        def tell(share: float) -> None:
            if self.cancelled is not None and self.cancelled():
                raise Cancelled(CANCELLED)
            if self.progress is not None:
                self.progress(name, before + self.shares[name] * share)

        try:
            tell(0.0)
            yield tell
        finally:
            self.seconds[name] = time.perf_counter() - started
