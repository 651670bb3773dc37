"""Label maps: images whose voxels are label values, with a table of labels beside them."""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING, Literal

import numpy as np
import SimpleITK as sitk

from SAMSpineLib.errors import LabelError
from SAMSpineLib.io.nifti_nrrd import read_image_file, stem_of
from SAMSpineLib.io.seg_nrrd import LabelArray, Segmentation, SegmentInfo, relabelled, whole_numbers, with_values
from SAMSpineLib.io.sitk_image import array_of, image_from, place_image
from SAMSpineLib.safe_write import replacing
from SAMSpineLib.volume import slices_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from SAMSpineLib.io.sitk_image import Array
    from SAMSpineLib.labels import Label, LabelTable
    from SAMSpineLib.volume import Grid

_LOG = logging.getLogger(__name__)

Source = Literal["verse", "totalsegmentator", "samspine"]
_COLUMNS = ("value", "name", "colour", "code")


def labels_table_path(path: Path) -> Path:
    """Return where the table of a label map lies: 'case.nii.gz' has 'case.labels.csv' beside it."""
    return path.with_name(f"{stem_of(path)}.labels.csv")


def write_labels_table(path: Path, labels: Iterable[Label]) -> None:
    """Write value, name, colour (#rrggbb) and SNOMED code of labels as CSV.

    Raises:
        OutputError: if it cannot be written; an existing file is then untouched.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        rows.writerows((one.value, one.name, "#{:02x}{:02x}{:02x}".format(*one.colour), one.code) for one in labels)


def read_label_map(path: Path, table: LabelTable) -> Segmentation:
    """Read a label map; where a table lies beside it, its names decide the values, else values are the table's own.

    Raises:
        VolumeError: if it cannot be read or holds anything but whole numbers.
        LabelError: if the table beside it is malformed.
    """
    result = read_image_file(path)
    labels = whole_numbers(result.volume.array, path)
    found = [int(value) for value in values_in(labels)]
    beside = labels_table_path(path)
    names = _read_labels_table(beside) if beside.is_file() else {}
    segments = [names.get(value) or _named_by(table, value) for value in found]
    if not names:
        return Segmentation(labels, result.volume.grid, tuple(segments), result.notices)
    mapped = with_values(segments, table)
    new_values = np.zeros(max(found, default=0) + 1, dtype=np.uint16)
    new_values[found] = [segment.value for segment in mapped]
    return Segmentation(relabelled(labels, _smallest(new_values)), result.volume.grid, mapped, result.notices)


def _named_by(table: LabelTable, value: int) -> SegmentInfo:
    """Describe a value by the table, or by its number where the table lacks it."""
    for label in table:
        if label.value == value:
            return SegmentInfo(value, label.name, label.colour, label.terminology, known=True, file_value=value)
    return SegmentInfo(value, f"label {value}", file_value=value)


def _read_labels_table(path: Path) -> dict[int, SegmentInfo]:
    """Read the table beside a label map, by value.

    Raises:
        LabelError: naming the first line that is wrong.
    """
    found = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in (reader := csv.DictReader(file)):
            try:
                value, colour = int(row["value"]), bytes.fromhex(row["colour"].removeprefix("#"))
                red, green, blue = colour
                found[value] = SegmentInfo(value, row["name"], (red, green, blue), file_value=value)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                msg = f"{path}, line {reader.line_num}: expected {','.join(_COLUMNS)} with a colour #rrggbb, got {row}"
                raise LabelError(msg) from error
    return found


def present_labels(labels: Array, grid: Grid, table: Iterable[Label]) -> tuple[LabelArray, list[Label]]:
    """Check an array (K, J, I) of labels; return it as uint8 or uint16, and the labels in it in the table's order.

    Raises:
        LabelError: if its shape is not the grid's, its type no integer, or a value is not in the table.
    """
    if labels.shape != grid.shape or labels.dtype.kind not in "iub":
        msg = f"Expected integer labels of shape {grid.shape}, got {labels.dtype} of shape {labels.shape}"
        raise LabelError(msg)
    if labels.min() < 0 or labels.max() > 65535:
        msg = f"Label values must lie from 0 to 65535, got {labels.min()} to {labels.max()}"
        raise LabelError(msg)
    found = {int(value) for value in values_in(labels)}
    present = [label for label in table if label.value in found]
    unknown = sorted(found - {label.value for label in present})
    if unknown:
        msg = f"The label table has no structure for value(s) {', '.join(map(str, unknown))}; add a line for each"
        raise LabelError(msg)
    return labels.astype(np.uint8 if max(found, default=0) <= 255 else np.uint16, copy=False), present


def values_in(labels: Array) -> Sequence[int]:
    """Return the values above 0 that occur in an array of labels up to 65535, in order."""
    seen = np.zeros(65536, dtype=bool)
    for one in labels:
        seen[one.astype(np.uint16, copy=False)] = True
    seen[0] = False
    return [int(value) for value in np.flatnonzero(seen)]


def convert_ids(array: Array, table: Iterable[Label], *, source: Source = "verse") -> LabelArray:
    """Turn the label values of another convention (K, J, I) into ours; values that the table lacks become 0.

    Args:
        array: whole numbers from 0 to 65535, in the numbering of `source`.
        table: the labels; where two share a number of `source`, the first in the table has it.
        source: "verse", "totalsegmentator" or "samspine" (ours already: only checked).

    Returns:
        An array of the same shape; what was left out is logged.

    Raises:
        LabelError: if the source is unknown.
    """
    if source not in ("verse", "totalsegmentator", "samspine"):
        msg = f"Unknown numbering '{source}'; known are verse, totalsegmentator and samspine"
        raise LabelError(msg)
    new_values = np.zeros(65536, dtype=np.uint16)
    for label in table:
        theirs = label.value if source == "samspine" else getattr(label, source)
        if theirs and not new_values[theirs]:
            new_values[theirs] = label.value
    found = values_in(array)
    dropped = [value for value in found if not new_values[value]]
    if dropped:
        _LOG.info("%s values that the label table does not have were left out: %s", source, dropped)
    top = max(found, default=0) + 1
    return relabelled(array, _smallest(new_values[:top]))


def _smallest(values: Array) -> LabelArray:
    """Return values as uint8 where they fit, else as uint16."""
    return values.astype(np.uint8 if int(values.max(initial=0)) <= 255 else np.uint16)


def place_labels(labels: LabelArray, grid: Grid, target: Grid) -> LabelArray:
    """Bring labels (K, J, I) from their grid onto another: exactly where both share a lattice, else nearest voxel.

    Slicer crops what it saves; this puts it back into the grid of the image. What lies outside of `target` is lost.
    """
    offset = _lattice_offset(grid, target)
    if offset is None:
        reference = sitk.Image([int(n) for n in target.shape[::-1]], sitk.sitkUInt8)
        place_image(reference, target)
        image = image_from(labels, grid, "labels")
        return array_of(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0))
    placed = np.zeros(target.shape, dtype=labels.dtype)
    size, whole = np.array(grid.shape[::-1]), np.array(target.shape[::-1])
    low, high = np.maximum(offset, 0), np.minimum(offset + size, whole)
    if (low < high).all():
        i0, j0, k0, i1, j1, k1 = (int(n) for n in (*low, *(high - 1)))
        a, b, c = (int(n) for n in offset)
        inner = (i0 - a, i1 - a, j0 - b, j1 - b, k0 - c, k1 - c)
        placed[slices_of((i0, i1, j0, j1, k0, k1))] = labels[slices_of(inner)]
    return placed


def _lattice_offset(grid: Grid, target: Grid) -> Array | None:
    """Return the index (I, J, K) in `target` of the first voxel of `grid`, None where lattices differ by 1 %."""
    ends = np.array([[0, 0, 0], np.array(grid.shape[::-1]) - 1])
    there = target.to_ijk(grid.to_ras(ends))
    offset = np.round(there[0])
    if np.abs(there - (ends + offset)).max() > 0.01:
        return None
    same_axes = np.allclose(grid.ijk_to_ras[:3, :3], target.ijk_to_ras[:3, :3], atol=0.01 * float(target.spacing.min()))
    return offset.astype(int) if same_axes else None
