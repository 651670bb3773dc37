"""Autonomous mode of a taught network: it looks at each slice of the volume, and finds by itself what it was taught.

The rules, which are ours:

1. A structure is in a slice if the median of its presence (0..1) there and in the two slices beside it is above one
   half: one slice between two is not left out, and one alone is not taken for it.
2. What is not joined to its largest piece, and is smaller than `SMALL_PIECE` of that, is left out. In a single picture
   all pieces stay.
3. Where two structures claim a place, the surer one has it (`contest.settled_slices`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from SAMSpineLib.engine.autonomous.result import AutoResult, LevelResult
from SAMSpineLib.engine.autonomous.watch import Watch
from SAMSpineLib.engine.contest import settled_slices
from SAMSpineLib.engine.session import Session
from SAMSpineLib.engine.slice_answer import SliceAnswer
from SAMSpineLib.engine.slices import SliceReader
from SAMSpineLib.errors import Cancelled
from SAMSpineLib.labels import Label
from SAMSpineLib.models.protocols import Seen, SliceMasks, TaughtPromptable
from SAMSpineLib.models.self_prompting import taught_of, there
from SAMSpineLib.progress import StageProgress
from SAMSpineLib.stack import Stack, stack_along

SMALL_PIECE = 0.1
POOR = 0.7
NOBODY = -1024.0
NOTHING = "nothing of what was taught was found"


def segment_taught(
    session: Session, *, progress: StageProgress | None = None, cancelled: Callable[[], bool] | None = None
) -> AutoResult:
    """Segment what the session's network was taught, in all of the session's volume.

    The result stays in the session: each structure is one step to undo, and clicks correct it slice by slice. What is
    cancelled changes nothing.

    Args:
        session: with its volume set, and a taught network.
        progress: called with the stage's name and the share (0..1) that is done.
        cancelled: asked after each slice.

    Raises:
        PromptError: if the network was not taught anything.
    """
    model = taught_of(session.model)
    reader = SliceReader(model, session.cache, session.volume)
    stack = stack_along(session.volume.grid, model.normal)
    watch = Watch({"segment": 1.0}, progress, cancelled)
    try:
        with watch.stage("segment") as tell:
            seen = _looked(session, reader, model, stack, tell)
    except Cancelled as stop:
        return _result(session, (), (), str(stop), watch)
    found = _found(reader, stack, seen, model.structures)
    session.place({label: found[label.value] for label in model.structures if found[label.value]})
    sure = np.max([one.presence for one in seen], axis=0)
    return _result(session, model.structures, sure, "" if any(found.values()) else NOTHING, watch)


def _looked(
    session: Session, reader: SliceReader, model: TaughtPromptable, stack: Stack, tell: Callable[[float], None]
) -> list[Seen]:
    """Return what is seen on each slice of a stack."""
    seen = []
    for index in range(stack.count):
        tell(index / stack.count)
        one = session.attempt(lambda index=index: model.look(reader.encoded(stack, index)))  # type: ignore[misc]
        seen.append(replace(one, logits=one.logits.clip(NOBODY, -NOBODY).astype(np.float16)))
    tell(1.0)
    return seen


def _found(
    reader: SliceReader, stack: Stack, seen: Sequence[Seen], structures: Sequence[Label]
) -> dict[int, tuple[SliceAnswer, ...]]:
    """Return the slices of each structure, by its value."""
    answers: dict[int, tuple[SliceAnswer, ...]] = {}
    for order, label in enumerate(structures):
        inside = np.stack([one.logits[order] > 0 for one in seen])
        inside &= there(np.array([one.presence[order] for one in seen]))[:, None, None]
        kept = main_pieces(inside)
        answers[label.value] = tuple(
            SliceAnswer(stack, index, _masks(one, order, kept[index]), reader.volume.grid)
            for index, one in enumerate(seen)
            if kept[index].any()
        )
    return settled_slices(answers)


def _masks(seen: Seen, order: int, kept: npt.NDArray[np.bool_]) -> SliceMasks:
    """Return a structure's mask on a slice, without what was left out."""
    logits = np.where(kept | (seen.logits[order] <= 0), seen.logits[order], np.float16(NOBODY))
    return SliceMasks(seen.grid, logits[None].astype(np.float16), (float(seen.quality[order]),))


def main_pieces(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return a mask (count, h, w) without the pieces that are much smaller than its largest one."""
    if len(inside) == 1 or not inside.any():
        return inside
    pieces, _ = ndimage.label(inside, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= SMALL_PIECE * sizes.max())[pieces] & inside)


def _result(
    session: Session, structures: Sequence[Label], sure: Sequence[float], message: str, watch: Watch
) -> AutoResult:
    """Describe what lies in the session now."""
    return AutoResult(
        grid=session.volume.grid, labels=session.result, levels=levels_in(session, structures, sure), ambiguous=False,
        alternatives=(), message=message, seconds=dict(watch.seconds),
        structures=tuple(structures),
    )  # fmt: skip


def levels_in(session: Session, structures: Sequence[Label], sure: Sequence[float]) -> tuple[LevelResult, ...]:
    """Describe those structures that have voxels in a session; `sure` (0..1) is for each how sure its name is."""
    levels = []
    for label, confidence in zip(structures, sure, strict=True):
        places = np.argwhere(session.result == label.value)
        quality = session.quality(label.value) or 0.0
        if len(places):
            r, a, s = session.volume.grid.to_ras(places[:, ::-1].mean(axis=0)).tolist()
            flags = ("the mask may be poor",) if quality < POOR else ()
            levels.append(LevelResult(label.value, (r, a, s), float(confidence), quality, len(places), flags))
    return tuple(levels)
