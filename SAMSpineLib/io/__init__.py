"""Volumes, label maps and segmentations on disk: one file per format, two doors (`reading`, `writing`)."""

from __future__ import annotations

from SAMSpineLib.io.dicom_series import SeriesInfo, list_series
from SAMSpineLib.io.label_map import convert_ids, place_labels
from SAMSpineLib.io.read_result import ReadResult
from SAMSpineLib.io.reading import read_volume, read_with_notices
from SAMSpineLib.io.seg_nrrd import Segmentation, SegmentInfo
from SAMSpineLib.io.writing import read_segmentation, write_segmentation, write_volume

__all__ = [
    "ReadResult",
    "SegmentInfo",
    "Segmentation",
    "SeriesInfo",
    "convert_ids",
    "list_series",
    "place_labels",
    "read_segmentation",
    "read_volume",
    "read_with_notices",
    "write_segmentation",
    "write_volume",
]
