"""Networks that make a label map of a whole volume: MaskSAM by itself, MA-SAM from what registered atlases say.

What they find lies in the session as a mask of each label: a step to undo, and what prompts go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Protocol

from SAMSpineLib.engine.autonomous.methods import MASKSAM
from SAMSpineLib.engine.autonomous.numbering import numberings_of
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.autonomous.survey import Localises
from SAMSpineLib.engine.autonomous.taught import levels_in
from SAMSpineLib.engine.autonomous.track_names import NOT_NUMBERED, ChainNames, fits
from SAMSpineLib.engine.autonomous.watch import Watch
from SAMSpineLib.engine.earlier import found_masks
from SAMSpineLib.engine.session import Session
from SAMSpineLib.errors import Cancelled
from SAMSpineLib.labels import Label, spine_labels
from SAMSpineLib.models.whole_map import WholeMap
from SAMSpineLib.progress import StageProgress

NOTHING_FOUND = "no vertebra found"


class Eyes(Localises, Protocol):
    """What sees vertebrae in a volume that nobody has prompted."""

    def segment(self, method: str, ask: Callable[[Any], WholeMap]) -> WholeMap:
        """Return what the network of a method answers to `ask`; asked again where memory runs out.

        Raises:
            ModelError: if there is no such network.
        """
        ...


def segment_alone(
    session: Session,
    eyes: Eyes,
    *,
    progress: StageProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> AutoResult:
    """Segment a session's volume with MaskSAM, which finds vertebrae by itself, and number them as a chain.

    Args:
        session: with its volume set.
        eyes: that have the network.
        progress: called with the stage's name and the share (0..1) that is done.
        cancelled: asked often; True ends the run, and nothing is changed.
    """
    watch, message = Watch({"segment": 1.0}, progress, cancelled), NOTHING_FOUND
    found: dict[Label, float] = {}
    chain = ChainNames()
    try:
        with watch.stage("segment") as tell:

            def ask(network: Any) -> WholeMap:
                names = chain if fits(network.structures) else None
                whole: WholeMap = network.segment(session.volume, names=names, progress=tell)
                return whole

            whole = eyes.segment(MASKSAM, ask)
            sure = dict(zip(chain.assigned.values, chain.assigned.confidence, strict=True))
            found = {one: sure.get(one.value, whole.quality[one.value]) for one in place_whole(session, whole)}
    except Cancelled as stop:
        message = str(stop)
    levels = levels_in(session, tuple(found), list(found.values()))
    numbered = chain.assigned if levels else NOT_NUMBERED
    return AutoResult(
        grid=session.volume.grid, labels=session.result, levels=levels, ambiguous=numbered.ambiguous,
        alternatives=numbered.alternatives, message=numbered.message if levels else message,
        seconds=dict(watch.seconds), numberings=numberings_of(numbered, [one.value for one in levels]),
    )  # fmt: skip


def place_whole(session: Session, whole: WholeMap, only: Container[int] | None = None) -> tuple[Label, ...]:
    """Put what a network has found into a session, all of it or `only` some values; return the labels, head to foot."""
    table = spine_labels()
    masks = found_masks(whole.labels, whole.quality, session.volume.grid)
    kept = {table.by_value(value): mask for value, mask in masks.items() if only is None or value in only}
    session.place(kept)
    return tuple(kept)
