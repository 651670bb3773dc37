"""Label maps in anybody's numbering, read as label maps in ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from SAMSpineLib.errors import LabelError
from SAMSpineLib.io.label_map import Source, convert_ids, labels_table_path, values_in
from SAMSpineLib.io.nifti_nrrd import stem_of
from SAMSpineLib.io.read_result import ReadResult
from SAMSpineLib.io.reading import read_with_notices
from SAMSpineLib.io.seg_nrrd import whole_numbers
from SAMSpineLib.io.writing import read_segmentation
from SAMSpineLib.volume import Volume

if TYPE_CHECKING:
    from SAMSpineLib.labels import LabelTable


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
