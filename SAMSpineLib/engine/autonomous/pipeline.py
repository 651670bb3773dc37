"""Autonomous mode: a volume in, named vertebrae out, and nothing that a human could not have clicked.

result = segment_spine(session, build_localiser())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.fits import AtlasFit, fits_of
from SAMSpineLib.engine.autonomous.numbering import numberings_of
from SAMSpineLib.engine.autonomous.prompters import Prompts, atlas_prompts, centre_prompts, pseudo_masks
from SAMSpineLib.engine.autonomous.result import AutoResult, LevelResult
from SAMSpineLib.engine.autonomous.review import flags_of
from SAMSpineLib.engine.autonomous.survey import Survey, survey
from SAMSpineLib.engine.autonomous.watch import Watch
from SAMSpineLib.engine.autonomous.whole import NOTHING_FOUND, Eyes, place_whole
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import Cancelled
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.progress import StageProgress

Method = Literal["centres", "atlas", "ma-sam"]

# Share of the whole time that each stage takes, about: for the estimate of the time left.
STAGES: Mapping[Method, Mapping[str, float]] = {
    "centres": {"localise": 0.35, "segment": 0.65},
    "atlas": {"localise": 0.2, "register": 0.4, "segment": 0.4},
    "ma-sam": {"localise": 0.05, "register": 0.15, "segment": 0.8},
}


def segment_spine(
    session: Session,
    eyes: Eyes,
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
        eyes: what finds vertebrae, and for `ma-sam` has that network.
        method: `centres` prompts with the localiser's own coarse masks, `atlas` with masks of registered atlases, and
            `ma-sam` gives those to MA-SAM instead of the session's network.
        atlases: for the methods `atlas` and `ma-sam`.
        progress: called with the stage's name and the share (0..1) of the whole run that is done.
        cancelled: asked often; True ends the run, and what is finished then stays.
    """
    watch = Watch(STAGES[method], progress, cancelled)
    found: Survey | None = None
    try:
        with watch.stage("localise") as tell:
            found = session.attempt(lambda: survey(session.volume, eyes, progress=tell))
        return segment_survey(session, eyes, found, method=method, atlases=atlases, watch=watch)
    except Cancelled as stop:
        return _result(session, found, watch, str(stop))


def segment_survey(
    session: Session, eyes: Eyes, found: Survey, *, method: Method, atlases: Sequence[Atlas], watch: Watch
) -> AutoResult:
    """Segment what a survey has found, under the names that it gives."""
    if not found.found:
        return _result(session, found, watch, NOTHING_FOUND)
    prompts, fits = _prompts(session, found, method, atlases, watch)
    message = found.levels.message
    try:
        with watch.stage("segment") as tell:
            if method == "ma-sam":
                said = pseudo_masks(prompts)
                whole = eyes.segment(method, lambda network: network.segment(session.volume, said, progress=tell))
                place_whole(session, whole, only=prompts)
            else:
                table = spine_labels()
                orders = {table.by_value(value): given for value, given in prompts.items()}
                session.add_all(orders, progress=lambda done, total, _: tell(done / total))
    except Cancelled as stop:
        message = str(stop)
    return _result(session, found, watch, message, fits)


def _prompts(
    session: Session, found: Survey, method: Method, atlases: Sequence[Atlas], watch: Watch
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
    session: Session, found: Survey | None, watch: Watch, message: str, fits: tuple[AtlasFit, ...] = ()
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
