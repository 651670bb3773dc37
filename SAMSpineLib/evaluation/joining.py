"""Simulate structures that overlap in one truth: the whole spine is its vertebrae, which can be asked for as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from SAMSpineLib.errors import LabelError
from SAMSpineLib.evaluation.curves import (
    ClickableSession,
    Curve,
    RobotSettings,
    SimulationReport,
    simulate,
)
from SAMSpineLib.labels import Label, LabelTable, spine_labels
from SAMSpineLib.progress import Counted
from SAMSpineLib.volume import Volume


def joined(truth: Volume, label: Label, table: LabelTable) -> Volume:
    """Return a truth (K, J, I) in which all parts of a label have its value; see `LabelTable.parts`."""
    parts = [part.value for part in table.parts(label)]
    return replace(truth, array=np.where(np.isin(truth.array, parts), label.value, truth.array).astype(np.uint16))


def labels_in(truth: Volume, table: LabelTable) -> list[Label]:
    """Return the labels of the table that occur in a truth (K, J, I), in the table's order."""
    found = set(np.unique(truth.array).tolist())
    return [label for label in table if label.value in found]


def truths_for(truth: Volume, labels: Sequence[Label]) -> list[tuple[Volume, list[Label]]]:
    """Return truths (K, J, I) in which each label has a value of its own, with the labels that each is for.

    A whole, such as the spine, overlaps with its parts and so has a truth of its own.

    Raises:
        LabelError: if a label does not occur.
    """
    table = spine_labels()
    wholes = [label for label in labels if len(table.parts(label)) > 1]
    truths = [(truth, [label for label in labels if label not in wholes])]
    truths += [(joined(truth, label, table), [label]) for label in wholes]
    for one, asked in truths:
        _check_present(one, asked)
    return [(one, asked) for one, asked in truths if asked]


def simulate_structures(
    session: ClickableSession,
    volume: Volume,
    truth: Volume,
    labels: Sequence[Label],
    settings: RobotSettings,
    progress: Counted | None = None,
) -> SimulationReport:
    """Let a robot user segment each label as `curves.simulate` does, wholes being the union of their parts.

    Raises:
        LabelError: if no labels are asked for, or one does not occur in the truth.
        GeometryError: if one lies outside the volume altogether.
    """
    curves: dict[str, Curve] = {}
    total = settings.clicks * len(labels)
    for one, asked in truths_for(truth, labels):
        shifted = _shifted(progress, settings.clicks * len(curves), total)
        curves |= simulate(session, volume, one, asked, settings, shifted).labels
    return SimulationReport({label.name: curves[label.name] for label in labels})


def _check_present(truth: Volume, labels: Sequence[Label]) -> None:
    """Refuse a label that the truth lacks before the first click of any."""
    for label in labels:
        if not (truth.array == label.value).any():
            msg = f"The truth has no voxel of '{label.name}' (value {label.value}): ask only for labels that it holds"
            raise LabelError(msg)


def _shifted(progress: Counted | None, before: int, total: int) -> Counted | None:
    if progress is None:
        return None
    return lambda done, _, name: progress(before + done, total, name)
