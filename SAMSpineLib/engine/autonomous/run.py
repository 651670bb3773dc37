"""One door for all methods of autonomous mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.pipeline import StageProgress, segment_spine
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.autonomous.survey import Localises
from SAMSpineLib.engine.autonomous.taught import segment_taught
from SAMSpineLib.engine.session import Session

# Vertebrae, as a localiser sees them or as atlases that are registered to that; or what the session's own network was
# taught.
Run = Literal["centres", "atlas", "sam2rad"]


def run_autonomous(
    session: Session,
    localiser: Localises,
    run: Run,
    *,
    atlases: Callable[[], Sequence[Atlas]] = tuple,
    progress: StageProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> AutoResult:
    """Segment a session's volume without a prompt; see `segment_spine` and `segment_taught`.

    Args:
        session: with its volume set.
        localiser: for the methods that look for vertebrae.
        run: the method.
        atlases: asked for them where the method needs them.
        progress: called with the stage's name and the share (0..1) that is done.
        cancelled: asked often; True ends the run.

    Raises:
        PromptError: if the session's network was not taught anything, and should have been.
    """
    if run == "sam2rad":
        return segment_taught(session, progress=progress, cancelled=cancelled)
    found = atlases() if run == "atlas" else ()
    return segment_spine(session, localiser, method=run, atlases=found, progress=progress, cancelled=cancelled)
