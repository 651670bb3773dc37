"""The rows of the two tables of a panel: what autonomous mode found, and all segments."""

from __future__ import annotations

from dataclasses import dataclass

from SAMSpineLib.engine.autonomous.result import AutoResult
from SAMSpineLib.mrml.editable import is_visible
from SAMSpineLib.mrml.segment_labels import Status, algorithm_of, segment_of, status_of
from SAMSpineLib.mrml.workbench import Workbench
from SAMSpineLib.prompts import Ras


@dataclass(frozen=True)
class ReviewRow:
    """A level that autonomous mode found: `place` is its centre in the volume (RAS mm), `flags` why to look at it."""

    segment_id: str
    place: Ras
    confidence: float
    flags: tuple[str, ...]


@dataclass(frozen=True)
class SegmentRow:
    """A segment: `colour` is RGB in 0..1, `source` how it was made (MANUAL, SEMIAUTOMATIC, AUTOMATIC)."""

    segment_id: str
    name: str
    colour: tuple[float, float, float]
    millilitres: float
    status: Status
    visible: bool
    source: str


def review_of(bench: Workbench, result: AutoResult) -> list[ReviewRow]:
    """Return the levels of a result that have a segment: those to look at first, least certain first."""
    rows = []
    for level in result.levels:
        segment_id = bench.segment_with(level.value)
        if segment_id is not None:
            rows.append(ReviewRow(segment_id, level.centre, level.confidence, level.flags))
    return sorted(rows, key=lambda row: (not row.flags, row.confidence))


def segment_rows(bench: Workbench) -> list[SegmentRow]:
    """Return all segments in the order of their structures, those that are in no table last."""
    order = {label.value: place for place, label in enumerate(bench.table)}
    labels = bench.labels
    ids = sorted(labels, key=lambda one: order.get(labels[one].value, len(order) + labels[one].value))
    return [_row(bench, segment_id) for segment_id in ids]


def _row(bench: Workbench, segment_id: str) -> SegmentRow:
    segment = segment_of(bench.node, segment_id)
    red, green, blue = segment.GetColor()
    return SegmentRow(
        segment_id,
        segment.GetName(),
        (red, green, blue),
        bench.millilitres(segment_id),
        status_of(bench.node, segment_id),
        is_visible(bench.node, segment_id),
        algorithm_of(bench.node, segment_id),
    )
