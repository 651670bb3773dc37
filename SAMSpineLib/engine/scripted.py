"""Many prompts for many labels, one after another, without anybody watching."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from SAMSpineLib.engine.session import Session
from SAMSpineLib.labels import Label
from SAMSpineLib.progress import Counted
from SAMSpineLib.prompts import Prompt


@dataclass(frozen=True)
class LabelReport:
    """What became of one label: its size, the seconds it took, the patches visited and the Dice expected (0..1)."""

    label: Label
    prompts: int
    voxels: int
    cm3: float
    seconds: float
    patches: int
    quality: float | None


def run_prompts(
    session: Session,
    orders: Mapping[Label, Sequence[Prompt]],
    *,
    overwrite: bool = False,
    propagate: bool = True,
    progress: Counted | None = None,
) -> Iterator[LabelReport]:
    """Give a session all prompts of each label and yield a report when a label is done.

    A label is done wholly or not at all: if a prompt fails, the earlier ones of its label are undone before the error
    goes on, and the session's result holds the labels that were yielded.

    Args:
        session: with its volume set.
        orders: the prompts of each label in their order.
        overwrite: whether a label may take voxels from others.
        propagate: whether a network that works slice by slice follows each label beyond its prompted slices.
        progress: called as (prompts done, prompts in all, name of the label).
    """
    total, done = sum(len(prompts) for prompts in orders.values()), 0
    for label, prompts in orders.items():
        session.select(label, overwrite=overwrite)
        started, given, patches = time.perf_counter(), 0, 0
        try:
            for prompt in prompts:
                patches = len(session.add(prompt).visited)
                given += 1
                if progress is not None:
                    progress(done + given, total, label.name)
            if propagate and session.follows(session.label.value):
                given += 1
                patches = len(session.propagate()[0].visited)
        except BaseException:
            for _ in range(given):
                session.undo()
            raise
        done += len(prompts)
        yield _report(session, label, len(prompts), patches, time.perf_counter() - started)


def _report(session: Session, label: Label, prompts: int, patches: int, seconds: float) -> LabelReport:
    voxels = int(np.count_nonzero(session.result == label.value))
    cm3 = voxels * session.volume.grid.voxel_volume / 1000
    return LabelReport(label, prompts, voxels, cm3, seconds, patches, session.quality(label.value))
