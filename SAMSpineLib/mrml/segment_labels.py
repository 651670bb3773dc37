"""Which structure a segment is, for those of the label table and for any other that a user makes."""

from __future__ import annotations

from typing import Any, Literal

import slicer
from vtkmodules.vtkCommonCore import reference

from SAMSpineLib.errors import LabelError
from SAMSpineLib.labels import Label, LabelTable, spine_labels
from SAMSpineLib.mrml.segments import ensure_segment

Algorithm = Literal["MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"]
Status = Literal["not started", "in progress", "completed", "flagged"]

# Values of segments that are in no table start here, above every value of the bundled one.
FIRST_CUSTOM_VALUE = 1000
CUSTOM_GROUP = "custom"
_VALUE_TAG = "SAMSpine.Value"
_STATUSES: tuple[Status, ...] = ("not started", "in progress", "completed", "flagged")


def tag_of(segment: Any, name: str) -> str:
    """Return a tag of a vtkSegment, empty where it has none."""
    value = reference("")
    return str(value) if segment.GetTag(name, value) else ""


def terminology_of(segment: Any) -> str:
    """Return the terminology entry of a vtkSegment, empty where it has none."""
    return tag_of(segment, segment.GetTerminologyEntryTagName())


def segment_of(node: Any, segment_id: str) -> Any:
    """Return a vtkSegment of a segmentation node.

    Raises:
        LabelError: if there is no such segment.
    """
    segment = node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        msg = f"The segmentation '{node.GetName()}' has no segment '{segment_id}' any more: select another one"
        raise LabelError(msg)
    return segment


def labels_of(node: Any, table: LabelTable | None = None) -> dict[str, Label]:
    """Return the structure of each segment by segment id; no two of them share a value.

    A segment is known by its name, or else by its terminology (the user may have renamed it). Any other one, and a
    second one of the same structure, is a structure of its own: its value is kept in a tag, so that it is the same
    after the scene was saved and opened again.
    """
    table = table or spine_labels()
    found: dict[str, Label] = {}
    segmentation = node.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    by_code = {label.terminology: label for label in table if label.terminology}
    names = {one.casefold(): label for label in table for one in (label.title, label.name)}
    taken: set[int] = set()
    for segment_id in ids:
        segment = segmentation.GetSegment(segment_id)
        label = names.get(segment.GetName().strip().casefold()) or by_code.get(terminology_of(segment))
        if label is not None and label.value not in taken:
            found[segment_id] = label
            taken.add(label.value)
    for segment_id in ids:
        if segment_id not in found:
            found[segment_id] = _custom(segmentation.GetSegment(segment_id), taken)
            taken.add(found[segment_id].value)
    return {segment_id: found[segment_id] for segment_id in ids}


def _custom(segment: Any, taken: set[int]) -> Label:
    """Return a label for a segment that is in no table; its value is one that no other segment has."""
    text = tag_of(segment, _VALUE_TAG)
    value = int(text) if text.isdecimal() else 0
    if not FIRST_CUSTOM_VALUE <= value <= 65535 or value in taken:
        value = max([FIRST_CUSTOM_VALUE - 1, *taken]) + 1
        segment.SetTag(_VALUE_TAG, str(value))
    name = segment.GetName() or f"Segment {value}"
    red, green, blue = (round(255 * part) for part in segment.GetColor())
    return Label(value, name, name, CUSTOM_GROUP, (red, green, blue))


def add_custom_segment(node: Any, name: str, terminology: str = "") -> str:
    """Add an empty segment of any name, with a terminology entry of Slicer's form or none, and return its id.

    Raises:
        LabelError: if the name is empty, or another segment has it.
    """
    segmentation = node.GetSegmentation()
    name = name.strip()
    if not name:
        msg = "A new segment needs a name: type what it is"
        raise LabelError(msg)
    if segmentation.GetSegmentIdBySegmentName(name):
        msg = f"'{node.GetName()}' has a segment '{name}' already: select it, or choose another name"
        raise LabelError(msg)
    segment_id: str = segmentation.AddEmptySegment(segmentation.GenerateUniqueSegmentID(name.replace(" ", "_")), name)
    if terminology:
        segment = segmentation.GetSegment(segment_id)
        segment.SetTag(segment.GetTerminologyEntryTagName(), terminology)
    return segment_id


def add_segment(node: Any, name: str, table: LabelTable | None = None, terminology: str = "") -> str:
    """Return the segment of a name: of the table's structure where there is one, else a new one of that name.

    Raises:
        LabelError: if the name is empty.
    """
    names = {key.casefold(): label for label in table or spine_labels() for key in (label.title, label.name)}
    label = names.get(name.strip().casefold())
    if label is not None:
        return ensure_segment(node, label)
    known: str = node.GetSegmentation().GetSegmentIdBySegmentName(name.strip())
    return known or add_custom_segment(node, name, terminology)


def ensure_structure(node: Any, label: Label, table: LabelTable | None = None) -> str:
    """Return the segment of a structure, made if need be; one that no table knows keeps the label's value in a tag."""
    segment_id = add_segment(node, label.name, table)
    if label.value not in {one.value for one in table or spine_labels()}:
        segment_of(node, segment_id).SetTag(_VALUE_TAG, str(label.value))
        describe(node, segment_id, label)
    return segment_id


def describe(node: Any, segment_id: str, label: Label) -> None:
    """Give a segment the name, colour and terminology of a label; its voxels stay."""
    segment = segment_of(node, segment_id)
    segment.SetName(label.name)
    segment.SetColor(*(part / 255 for part in label.colour))
    if label.terminology:
        segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)


def rename(node: Any, segment_id: str, name: str, table: LabelTable | None = None) -> None:
    """Give a segment another name; one of the table brings its colour and terminology, and voxels stay.

    Raises:
        LabelError: if the name is empty, or another segment has it.
    """
    table, segment = table or spine_labels(), segment_of(node, segment_id)
    name = name.strip()
    names = {key.casefold(): label for label in table for key in (label.title, label.name)}
    label = names.get(name.casefold())
    others = [other for one, other in labels_of(node, table).items() if one != segment_id]
    if not name or any(name == other.name or label == other for other in others):
        msg = f"There is a segment '{name}' already: rename that first" if name else "A segment needs a name"
        raise LabelError(msg)
    if label is not None:
        describe(node, segment_id, label)
    else:
        segment.SetName(name)
        segment.RemoveTag(segment.GetTerminologyEntryTagName())


def mark_algorithm(node: Any, segment_id: str, kind: Algorithm, name: str) -> None:
    """Say how a segment was made, in the tags that a DICOM SEG is written from."""
    segment = segment_of(node, segment_id)
    for tag, value in (("DICOM.SegmentAlgorithmType", kind), ("DICOM.SegmentAlgorithmName", name)):
        if tag_of(segment, tag) != value:
            segment.SetTag(tag, value)


def algorithm_of(node: Any, segment_id: str) -> str:
    """Return how a segment was made (an `Algorithm`); by hand, where nobody said."""
    return tag_of(segment_of(node, segment_id), "DICOM.SegmentAlgorithmType") or "MANUAL"


def status_of(node: Any, segment_id: str) -> Status:
    """Return how far a segment is, as the Segment Editor shows it."""
    number: int = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment_of(node, segment_id))
    return _STATUSES[number]


def set_status(node: Any, segment_id: str, status: Status) -> None:
    """Say how far a segment is."""
    if status_of(node, segment_id) != status:
        number = _STATUSES.index(status)
        slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(segment_of(node, segment_id), number)
