"""One door for all methods of autonomous mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from SAMSpineLib.atlas.atlas import Atlas
from SAMSpineLib.engine.autonomous.methods import BY_ATLASES, Run
from SAMSpineLib.engine.autonomous.pipeline import segment_spine
from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.engine.autonomous.taught import segment_taught
from SAMSpineLib.engine.autonomous.whole import Eyes, segment_alone
from SAMSpineLib.engine.session import Session
from SAMSpineLib.progress import StageProgress


def run_autonomous(
    session: Session,
    eyes: Eyes,
    run: Run,
    *,
    atlases: Callable[[], Sequence[Atlas]] = tuple,
    progress: StageProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> AutoResult:
    """Segment a session's volume without a prompt; see `segment_spine`, `segment_alone` and `segment_taught`.

    Args:
        session: with its volume set.
        eyes: for the methods that look for vertebrae.
        run: the method.
        atlases: asked for them where the method needs them.
        progress: called with the stage's name and the share (0..1) that is done.
        cancelled: asked often; True ends the run.

    Raises:
        PromptError: if the session's network was not taught anything, and should have been.
        ModelError: if a network that the method needs is not there.
    """
    if run == "sam2rad":
        return segment_taught(session, progress=progress, cancelled=cancelled)
    if run == "masksam":
        return segment_alone(session, eyes, progress=progress, cancelled=cancelled)
    found = atlases() if run in BY_ATLASES else ()
    return segment_spine(session, eyes, method=run, atlases=found, progress=progress, cancelled=cancelled)
