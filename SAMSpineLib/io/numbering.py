"""Label maps in anybody's numbering, read as label maps in ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from SAMSpineLib.errors import LabelError, VolumeError
from SAMSpineLib.io.label_map import Source, convert_ids, labels_table_path, values_in
from SAMSpineLib.io.nifti_nrrd import stem_of
from SAMSpineLib.io.read_result import ReadResult
from SAMSpineLib.io.reading import read_with_notices
from SAMSpineLib.io.seg_nrrd import whole_numbers
from SAMSpineLib.io.writing import read_segmentation
from SAMSpineLib.labels import Label, LabelTable
from SAMSpineLib.volume import Volume

# A numbering of ours or of others. With none each value is a structure of its own, named after its number; with any
# all values are one structure, as in a mask.
Numbering = Source | Literal["none", "any"]
NUMBERINGS: tuple[Numbering, ...] = (*get_args(Source), "none", "any")
MASKED = "structure"
_GREY = (128, 174, 128)


@dataclass(frozen=True, eq=False)
class NamedLabels:
    """A label map `volume` (K, J, I), the `table` that names its values, and what the reader had to mend."""

    volume: Volume
    table: LabelTable = field(repr=False)
    notices: tuple[str, ...] = ()


def read_labels(
    path: Path | str, table: LabelTable, *, ids: Source | None = None, default: Source = "verse"
) -> ReadResult:
    """Read a label map or segmentation; its volume (K, J, I) holds the table's values, and 0 for what it lacks.

    Args:
        path: a `.seg.nrrd`, whose names decide, or a label map.
        table: the labels to keep.
        ids: the numbering of a label map. None: the names in the table beside it if there is one, else `default`.
        default: the numbering of a label map that has no table beside it.

    Raises:
        VolumeError: if it cannot be read or is no label map.
        LabelError: if nothing in it is a structure that the table knows under this numbering.
    """
    path = Path(path)
    if path.name.lower().endswith(".seg.nrrd") or (ids is None and labels_table_path(path).is_file()):
        found = read_segmentation(path, table)
        return ReadResult(Volume(found.labels, found.grid, stem_of(path)), found.notices)
    result = read_with_notices(path)
    numbers = whole_numbers(result.volume.array, path)
    labels = convert_ids(numbers, table, source=ids or default)
    if numbers.any() and not labels.any():
        few = ", ".join(str(value) for value in values_in(numbers)[:5])
        msg = f"{path} holds nothing known in the numbering '{ids or default}' but {few}; name its own with --ids"
        raise LabelError(msg)
    return ReadResult(Volume(labels, result.volume.grid, stem_of(path)), result.notices)


def read_named_labels(
    path: Path | str, table: LabelTable, *, ids: Numbering | None = None, default: Source = "verse"
) -> NamedLabels:
    """Read a label map or segmentation with the table that names what is in it.

    That is the given table, whatever the numbering, as `read_labels` has it. With ids "none" nothing is left out: the
    structures are called as the file calls them (`.seg.nrrd`, or a table beside the file), else after their values.
    With "any" all that is marked is one structure of value 1, called "structure".

    Raises:
        VolumeError: if it cannot be read or is no label map.
        LabelError: if nothing in it is a structure that the table knows under this numbering, or two of the file's own
            structures have one name.
    """
    if ids != "none" and ids != "any":  # noqa: PLR1714 - so that it is known to be a numbering
        found = read_labels(path, table, ids=ids, default=default)
        return NamedLabels(found.volume, table, found.notices)
    named = _as_the_file_calls_them(Path(path), table)
    if ids == "none":
        return named
    mask = Volume((named.volume.array > 0).astype(np.uint8), named.volume.grid, named.volume.name)
    return NamedLabels(mask, LabelTable([Label(1, MASKED, MASKED, "", _GREY)]), named.notices)


def numbering_called(text: str, where: str) -> Numbering | None:
    """Return the numbering that a list names; None where it names none.

    Raises:
        VolumeError: if there is no such numbering, naming the place `where` it was asked for.
    """
    found = next((one for one in NUMBERINGS if one == text), None)
    if text and found is None:
        msg = f"{where}: there is no numbering '{text}'; choose one of {', '.join(NUMBERINGS)}"
        raise VolumeError(msg)
    return found


def _as_the_file_calls_them(path: Path, table: LabelTable) -> NamedLabels:
    """Read a label map with a table of its own names, or of its numbers where it has none."""
    if path.name.lower().endswith(".seg.nrrd") or labels_table_path(path).is_file():
        read = read_segmentation(path, table)
        named = LabelTable(Label(one.value, one.name, one.name, "", one.colour) for one in read.segments)
        return NamedLabels(Volume(read.labels, read.grid, stem_of(path)), named, read.notices)
    result = read_with_notices(path)
    numbers = whole_numbers(result.volume.array, path)
    values = LabelTable(Label(one, str(one), str(one), "", _GREY) for one in values_in(numbers))
    return NamedLabels(Volume(numbers, result.volume.grid, stem_of(path)), values, result.notices)
