"""Autonomous mode: a volume in, named vertebrae out, and nothing that a human could not have clicked.

result = segment_spine(session, build_localiser())
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.fits import AtlasFit, fits_of
from SAMSpineLib.engine.autonomous.numbering import numberings_of
from SAMSpineLib.engine.autonomous.prompters import Prompts, atlas_prompts, centre_prompts
from SAMSpineLib.engine.autonomous.result import AutoResult, LevelResult
from SAMSpineLib.engine.autonomous.review import flags_of
from SAMSpineLib.engine.autonomous.survey import Localises, Survey, survey
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import Cancelled
from SAMSpineLib.labels import spine_labels

Method = Literal["centres", "atlas"]

# Share of the whole time that each stage takes, about: for the estimate of the time left.
STAGES: Mapping[Method, Mapping[str, float]] = {
    "centres": {"localise": 0.35, "segment": 0.65},
    "atlas": {"localise": 0.2, "register": 0.4, "segment": 0.4},
}
NOTHING_FOUND = "no vertebra found"

StageProgress = Callable[[str, float], None]


@dataclass
class _Watch:
    """Tells how far the whole run is, times the stages, and ends it when asked to."""

    shares: Mapping[str, float]
    progress: StageProgress | None
    cancelled: Callable[[], bool] | None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        before, started = sum(self.shares[done] for done in self.seconds), time.perf_counter()

        def tell(share: float) -> None:
            if self.cancelled is not None and self.cancelled():
                msg = "Cancelled; what was finished is kept"
                raise Cancelled(msg)
            if self.progress is not None:
                self.progress(name, before + self.shares[name] * share)

        try:
            tell(0.0)
            yield tell
        finally:
            self.seconds[name] = time.perf_counter() - started


def segment_spine(
    session: Session,
    localiser: Localises,
    *,
    method: Method = "centres",
    atlases: Sequence[Atlas] = (),
    progress: StageProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> AutoResult:
    """Find, name and segment every vertebra of a session's volume.

    The result stays in the session: each level is one step to undo, and further clicks correct it.

    Args:
        session: with its volume set.
        localiser: see `build_localiser`.
        method: `centres` prompts with the localiser's own coarse masks, `atlas` with masks of registered atlases.
        atlases: for the method `atlas`.
        progress: called with the stage's name and the share (0..1) of the whole run that is done.
        cancelled: asked often; True ends the run, and what is finished then stays.
    """
    watch = _Watch(STAGES[method], progress, cancelled)
    found: Survey | None = None
    try:
        with watch.stage("localise") as tell:
            found = session.attempt(lambda: survey(session.volume, localiser, progress=tell))
        return segment_survey(session, found, method=method, atlases=atlases, watch=watch)
    except Cancelled as stop:
        return _result(session, found, watch, str(stop))


def segment_survey(
    session: Session, found: Survey, *, method: Method, atlases: Sequence[Atlas], watch: _Watch
) -> AutoResult:
    """Segment what a survey has found, under the names that it gives."""
    if not found.found:
        return _result(session, found, watch, NOTHING_FOUND)
    prompts, fits = _prompts(session, found, method, atlases, watch)
    table = spine_labels()
    orders = {table.by_value(value): given for value, given in prompts.items()}
    message = found.levels.message
    try:
        with watch.stage("segment") as tell:
            session.add_all(orders, progress=lambda done, total, _: tell(done / total))
    except Cancelled as stop:
        message = str(stop)
    return _result(session, found, watch, message, fits)


def _prompts(
    session: Session, found: Survey, method: Method, atlases: Sequence[Atlas], watch: _Watch
) -> tuple[Prompts, tuple[AtlasFit, ...]]:
    if method == "centres":
        return session.attempt(lambda: centre_prompts(found)), ()
    with watch.stage("register") as tell:
        prompts, propagated = session.attempt(
            lambda: atlas_prompts(
                found, atlases, progress=lambda done, total, _: tell(done / total), cancelled=watch.cancelled
            )
        )
        return prompts, tuple(fits_of(propagated))


def _result(
    session: Session, found: Survey | None, watch: _Watch, message: str, fits: tuple[AtlasFit, ...] = ()
) -> AutoResult:
    """Describe what lies in the session now."""
    levels = tuple(_levels(session, found)) if found is not None else ()
    ambiguous = found is not None and found.levels.ambiguous
    return AutoResult(
        grid=session.volume.grid,
        labels=session.result,
        levels=levels,
        ambiguous=ambiguous,
        alternatives=found.levels.alternatives if found is not None else (),
        message=message,
        seconds=dict(watch.seconds),
        numberings=numberings_of(found.levels, [one.value for one in levels]) if found is not None else (),
        fits=fits,
    )


def _levels(session: Session, found: Survey) -> Iterator[LevelResult]:
    """Describe each level that was segmented, head to foot."""
    counts = np.zeros(2**16, np.int64)
    for plane in session.result:  # one at a time: counting needs eight bytes a voxel
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    flags = flags_of(found.found, {one.value: int(counts[one.value]) for one in found.found}, session.quality)
    for one in found.found:
        quality = session.quality(one.value)
        if quality is not None:
            yield LevelResult(
                one.value, one.instance.centre, one.confidence, quality, int(counts[one.value]), flags[one.value]
            )
