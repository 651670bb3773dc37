"""What the DICOM files of a folder say about themselves, without their pixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import MissingExtraError, VolumeError

_TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "SeriesNumber", "SeriesDescription", "Modality",
    "ImageType", "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "BitsStored", "BitsAllocated",
    "PixelRepresentation", "SamplesPerPixel", "NumberOfFrames", "SpecificCharacterSet", "ModalityLUTSequence",
]  # fmt: skip
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_NOT_IMAGES = ("SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "DOC", "FID", "M3D")


@dataclass(frozen=True)
class SliceHeader:
    """One DICOM image file: where its slice lies (LPS mm) and how its numbers are stored.

    `position` (3,) is the centre of the first pixel, `row` and `column` (3,) are the unit vectors along which the
    column index and the row index grow, `spacing` the pixel size along these two (mm). Positions that the file does
    not state are None.
    """

    path: Path
    uid: str
    number: int | None
    description: str
    modality: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    frames: int
    samples: int
    position: npt.NDArray[np.float64] | None
    row: npt.NDArray[np.float64] | None
    column: npt.NDArray[np.float64] | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float
    intercept: float
    stored: tuple[int, int]
    has_lookup: bool

    @property
    def key(self) -> tuple[str, ...]:
        """What tells series apart: the UID or, in files stripped of it, number, description and modality."""
        return (self.uid,) if self.uid else ("", str(self.number), self.description, self.modality)

    @property
    def is_localizer(self) -> bool:
        """Whether this is a scout view, which is planned upon and never part of a volume."""
        return "LOCALIZER" in self.image_type


@dataclass(frozen=True)
class Scan:
    """The image slices of a folder, and the sentences about files left out."""

    slices: tuple[SliceHeader, ...]
    notices: tuple[str, ...]


def scan_folder(folder: Path) -> Scan:
    """Read the headers of all DICOM images in a folder and below, in the order of their names.

    Raises:
        VolumeError: if the folder holds no DICOM image, or cannot be read.
    """
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        next(folder.iterdir(), None)
    except OSError as error:
        msg = f"{folder} cannot be read: {error.strerror}; check its permissions"
        raise VolumeError(msg) from error
    headers = {path: read_header(path) for path in paths if path.name.upper() != "DICOMDIR"}
    slices = tuple(header for header in headers.values() if header and not header.is_localizer)
    if not slices:
        raise VolumeError(_nothing_text(folder, paths, scouts=any(headers.values())))
    broken = [path.name for path, header in headers.items() if header is None and path.suffix.lower() in DICOM_SUFFIXES]
    scouts = sum(1 for header in headers.values() if header and header.is_localizer)
    notices: tuple[str, ...] = ()
    if broken:
        notices += (f"{folder}: not readable as DICOM images and left out: {_few(broken)}",)
    if scouts:
        notices += (f"{folder}: {scouts} localizer image(s) left out",)
    return Scan(slices, notices)


def _nothing_text(folder: Path, paths: list[Path], *, scouts: bool) -> str:
    """Say that a folder has no DICOM slices, and what it has instead."""
    if scouts:
        return f"{folder} holds only DICOM localizers (scout views); expected a series of slices"
    if not paths:
        return f"{folder} is an empty folder; expected DICOM files"
    others = _few([path.name for path in paths])
    return f"{folder} holds no DICOM images; expected a DICOM series, found {others}; to open one of these, name it"


def _few(names: list[str]) -> str:
    """List the first names and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def is_dicom_file(path: Path) -> bool:
    """Tell whether a file is a DICOM image, by its content."""
    return read_header(path) is not None


def read_header(path: Path) -> SliceHeader | None:
    """Read one file's header; None if it is not a DICOM image.

    Raises:
        MissingExtraError: if pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError(package="pydicom", extra="dicom") from error
    # Files from before the preamble was invented carry the ending at least; anything else must carry the mark.
    force = path.suffix.lower() in DICOM_SUFFIXES
    try:
        with warnings.catch_warnings():
            # Scanners bend the rules in a hundred harmless ways; what matters to us is checked by us.
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=force)
            if "Rows" not in data or "Columns" not in data or str(data.get("Modality", "")) in _NOT_IMAGES:
                return None
            return _header(path, data)
    except Exception:  # a file cut short or forced open raises anything: pydicom's errors have no common base
        return None


def _header(path: Path, data: Any) -> SliceHeader:
    """Take what we need out of a pydicom dataset."""
    orientation = _numbers(data, "ImageOrientationPatient", 6)
    spacing = _numbers(data, "PixelSpacing", 2)
    bits, signed = int(data.get("BitsStored") or 16), int(data.get("PixelRepresentation") or 0)
    gap, number = data.get("SpacingBetweenSlices") or data.get("SliceThickness"), data.get("SeriesNumber")
    return SliceHeader(
        path=path,
        uid=str(data.get("SeriesInstanceUID") or ""),
        number=None if number is None else int(number),
        description=str(data.get("SeriesDescription") or ""),
        modality=str(data.get("Modality") or "OT"),
        image_type=tuple(str(word) for word in data.get("ImageType") or ()),
        rows=int(data.Rows),
        columns=int(data.Columns),
        frames=int(data.get("NumberOfFrames") or 1),
        samples=int(data.get("SamplesPerPixel") or 1),
        position=_numbers(data, "ImagePositionPatient", 3),
        row=None if orientation is None else orientation[:3],
        column=None if orientation is None else orientation[3:],
        # DICOM writes the distance between rows first, which is the size along the row index.
        spacing=None if spacing is None else (float(spacing[1]), float(spacing[0])),
        thickness=None if gap is None else abs(float(gap)),
        slope=float(data.get("RescaleSlope") or 1.0),
        intercept=float(data.get("RescaleIntercept") or 0.0),
        stored=(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1),
        has_lookup="ModalityLUTSequence" in data,
    )


def _numbers(data: Any, tag: str, count: int) -> npt.NDArray[np.float64] | None:
    """Return a tag's finite numbers (count,), None where it is absent, empty or malformed."""
    values = np.array([float(value) for value in data.get(tag) or ()], dtype=np.float64)
    return values if values.shape == (count,) and np.isfinite(values).all() else None
