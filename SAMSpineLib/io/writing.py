"""The door out: segmentations and volumes to any file type we write, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SAMSpineLib.errors import OutputError, VolumeError
from SAMSpineLib.io.complete import check_complete
from SAMSpineLib.io.label_map import labels_table_path, present_labels, read_label_map, write_labels_table
from SAMSpineLib.io.nrrd_writer import write_nrrd
from SAMSpineLib.io.seg_nrrd import Segmentation, read_seg_nrrd, write_seg_nrrd
from SAMSpineLib.io.sitk_image import image_from
from SAMSpineLib.labels import spine_labels
from SAMSpineLib.safe_write import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from SAMSpineLib.io.sitk_image import Array
    from SAMSpineLib.labels import Label, LabelTable
    from SAMSpineLib.volume import Grid, Volume

WRITTEN_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def write_segmentation(path: Path | str, labels: Array, grid: Grid, table: Iterable[Label]) -> None:
    """Write labels (K, J, I) on their grid: `.seg.nrrd` for 3D Slicer, else a label map with a CSV table beside it.

    Args:
        path: ends in .seg.nrrd, or in .nii, .nii.gz, .nrrd or .mha for a label map and `<stem>.labels.csv`.
        labels: integers from 0 (background) to 65535.
        grid: where the voxels lie.
        table: the labels that may occur; those that do are written, in this order.

    Raises:
        OutputError: if the type is unknown or the file cannot be written; existing files are then untouched.
        LabelError: if the labels do not fit the grid or the table.
    """
    path = Path(path)
    check_output_type(path)
    voxels, present = present_labels(np.asarray(labels), grid, table)
    if path.name.lower().endswith(".seg.nrrd"):
        write_seg_nrrd(path, voxels, grid, present)
        return
    _write_image(path, voxels, grid)
    write_labels_table(labels_table_path(path), present)


def read_segmentation(path: Path | str, table: LabelTable | None = None) -> Segmentation:
    """Read a `.seg.nrrd` or a label map; known names get their value in `table` (the bundled one if None).

    Raises:
        VolumeError: if it cannot be read; LabelError if a table beside a label map is malformed.
    """
    path, table = Path(path), spine_labels() if table is None else table
    if path.name.lower().endswith(".seg.nrrd"):
        return read_seg_nrrd(path, table)
    return read_label_map(path, table)


def write_volume(path: Path | str, volume: Volume) -> None:
    """Write a volume as .nii, .nii.gz, .nrrd or .mha, its voxels in their own type.

    Raises:
        OutputError: if the type is unknown or the file cannot be written; an existing file is then untouched.
    """
    path = Path(path)
    check_output_type(path)
    array = volume.array.astype(np.uint8) if volume.array.dtype.kind == "b" else volume.array
    _write_image(path, array, volume.grid)


def check_output_type(path: Path) -> None:
    """Refuse an ending that we do not write; worth asking before hours of work.

    Raises:
        OutputError: naming the endings that we do.
    """
    if not path.name.lower().endswith(WRITTEN_SUFFIXES):
        msg = f"{path} has an ending that is not written here; expected .seg.nrrd {' '.join(WRITTEN_SUFFIXES)}"
        raise OutputError(msg)


def _write_image(path: Path, array: Array, grid: Grid) -> None:
    """Write voxels (K, J, I) in the format that the ending names."""
    if path.name.lower().endswith(".nrrd"):
        write_nrrd(path, array, grid)
        return
    image = image_from(array, grid, str(path))
    with replacing(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=not path.name.lower().endswith(".nii"))
        try:
            # ITK does not notice a disk that fills up while it compresses.
            check_complete(temporary)
        except VolumeError as error:
            msg = f"{path} cannot be written whole: the disk may be full; free some space or choose another place"
            raise OutputError(msg) from error
