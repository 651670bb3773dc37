"""Segments as a DICOM Segmentation object that belongs to the images it was made on.

Standard: https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.20.html (binary segments)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from SAMSpineLib.errors import LabelError, MissingExtraError, VolumeError
from SAMSpineLib.io.dicom_series import series_files
from SAMSpineLib.io.label_map import present_labels
from SAMSpineLib.io.seg_nrrd import relabelled
from SAMSpineLib.labels import CATEGORY
from SAMSpineLib.safe_write import replacing
from SAMSpineLib.volume import ras_from_lps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from SAMSpineLib.io.sitk_image import Array
    from SAMSpineLib.labels import Label
    from SAMSpineLib.volume import Grid

Algorithm = Literal["MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"]
NAME = "SAMSpine"
# The designator of codes that are ours alone, for structures without a SNOMED CT code; "99" marks it as private.
PRIVATE_SCHEME = "99SAMSPINE"
# What a reader may rely on, empty where unknown; files that were made anonymous often lack them altogether.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class DicomSource:
    """The images that segments were made on: the `headers` of one series, without pixels, as pydicom reads them."""

    headers: tuple[Any, ...] = field(repr=False)


def read_dicom_source(path: Path, *, series: str | int | None = None) -> DicomSource:
    """Read what a segmentation must know of a series: a folder as for `read_volume`, or a single file.

    Raises:
        VolumeError: if there is none, or the files lack the identifiers that tie a segmentation to them.
        MissingExtraError: if pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError(package="pydicom", extra="dicom") from error
    headers = []
    with warnings.catch_warnings():
        # Scanners bend the rules in a hundred harmless ways.
        warnings.simplefilter("ignore")
        for file in series_files(path, series=series):
            data = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            _check(data, file)
            headers.append(data)
    return DicomSource(tuple(headers))


def _check(data: Any, file: Path) -> None:
    """Complete a header with empty fields; refuse one that cannot be referred to."""
    missing = [name for name in _NEEDED if not data.get(name)]
    if missing:
        msg = f"{file.name} lacks {', '.join(missing)}, so no DICOM SEG can belong to it; save another format"
        raise VolumeError(msg)
    for name in _MAY_BE_EMPTY:
        if name not in data:
            setattr(data, name, "")


def write_dicom_seg(
    path: Path,
    labels: Array,
    grid: Grid,
    table: Iterable[Label],
    source: DicomSource,
    kinds: Mapping[int, Algorithm] | None = None,
) -> None:
    """Write labels (K, J, I), which never overlap, as binary segments on the grid, in the study of their images.

    Args:
        path: of the file, `.dcm` by custom.
        labels: integers from 0 (background) to 65535.
        grid: where the voxels lie; for a straight series the planes are those of the images.
        table: the labels that may occur; each that does is a segment, with its SNOMED CT code.
        source: the images.
        kinds: by label value, how the segment was made; semiautomatic where it is not said.

    Raises:
        MissingExtraError: if highdicom is not installed.
        LabelError: if the labels do not fit the grid or the table, or there is none.
        OutputError: if it cannot be written; an existing file is then untouched.
    """
    try:
        import highdicom as hd
    except ImportError as error:
        raise MissingExtraError(package="highdicom", extra="dicom") from error
    voxels, present = present_labels(np.asarray(labels), grid, table)
    if not present:
        msg = "There is no voxel in any segment, and a DICOM SEG needs one: segment something first"
        raise LabelError(msg)
    numbers = np.zeros(max(label.value for label in present) + 1, np.uint16)
    for number, label in enumerate(present, 1):
        numbers[label.value] = number
    kinds = kinds or {}
    segments = [_segment(hd, n, one, kinds.get(one.value, "SEMIAUTOMATIC")) for n, one in enumerate(present, 1)]
    lps = ras_from_lps(grid.ijk_to_ras)
    # highdicom's indices run as those of the array do: K, J, I.
    frames = hd.Volume(
        relabelled(voxels, numbers), lps[:, [2, 1, 0, 3]], "PATIENT",
        frame_of_reference_uid=source.headers[0].FrameOfReferenceUID,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.seg.Segmentation(
            source_images=source.headers, pixel_array=frames, segmentation_type="BINARY", segment_descriptions=segments,
            series_instance_uid=hd.UID(), series_number=_series_number(source), sop_instance_uid=hd.UID(),
            instance_number=1, manufacturer=NAME, manufacturer_model_name=NAME, software_versions=_version(),
            device_serial_number="0", series_description=f"{NAME} segmentation", content_label="SEGMENTATION",
        )  # fmt: skip
        with replacing(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)


def _segment(hd: Any, number: int, label: Label, kind: Algorithm) -> Any:
    """Describe one segment: name, colour, and the same codes as in Slicer's terminology."""
    scheme, code, meaning = CATEGORY.split("^")
    known = bool(label.code)
    structure = (label.code, "SCT", label.meaning) if known else (str(label.value), PRIVATE_SCHEME, label.title)
    by_hand = kind == "MANUAL"
    family = hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence")
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name,
        segmented_property_category=hd.sr.CodedConcept(code, scheme, meaning),
        segmented_property_type=hd.sr.CodedConcept(*structure),
        algorithm_type=kind,
        algorithm_identification=None if by_hand else hd.AlgorithmIdentificationSequence(NAME, family, _version()),
        tracking_uid=hd.UID(),
        tracking_id=label.name,
        display_color=hd.color.CIELabColor.from_rgb(*label.colour),
    )


def _series_number(source: DicomSource) -> int:
    """Return a number that the viewer sorts behind the images' own series."""
    return 1000 + int(source.headers[0].get("SeriesNumber") or 0) % 1_000_000


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("samspine")
    except PackageNotFoundError:
        return "unknown"
