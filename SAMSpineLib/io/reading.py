"""The door for volumes: any file or folder that holds one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.io.dicom_headers import DICOM_SUFFIXES
from SAMSpineLib.io.dicom_series import is_dicom_file, read_dicom_file, read_dicom_folder
from SAMSpineLib.io.nifti_nrrd import PICTURE_SUFFIXES, VOLUME_SUFFIXES, check_readable, read_image_file

if TYPE_CHECKING:
    from SAMSpineLib.io.read_result import ReadResult
    from SAMSpineLib.volume import Volume

_LOG = logging.getLogger(__name__)


def read_volume(path: Path | str, *, series: str | int | None = None) -> Volume:
    """Read a volume and log the notices; see `read_with_notices`."""
    result = read_with_notices(path, series=series)
    for notice in result.notices:
        _LOG.warning("%s", notice)
    return result.volume


def read_with_notices(path: Path | str, *, series: str | int | None = None) -> ReadResult:
    """Read a volume from a NIfTI, NRRD, MetaImage, picture or DICOM file, or from a folder of DICOM files.

    Args:
        path: a file (.nii .nii.gz .nrrd .nhdr .mha .mhd .dcm or a picture) or a folder (DICOM, searched downwards).
        series: which DICOM series: its UID, its SeriesNumber, or its place in `list_series`, counted from 1.

    Returns:
        The volume, its voxels in the file's own integer type or float, and a sentence for each repair.

    Raises:
        VolumeError: if there is no usable volume; GeometryError where its place in the patient is unclear.
    """
    path = Path(path)
    if _is_folder(path):
        return read_dicom_folder(path, series=series)
    check_readable(path)
    if path.name.lower().endswith((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES)):
        return read_image_file(path)
    if path.suffix.lower() in DICOM_SUFFIXES or is_dicom_file(path):
        return read_dicom_file(path)
    msg = (
        f"{path} is of a type this does not read; expected {' '.join(VOLUME_SUFFIXES)}, a DICOM file, "
        f"or a folder of DICOM files"
    )
    raise VolumeError(msg)


def _is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; a forbidden parent is the user's to mend.

    Raises:
        VolumeError: if the path may not even be looked at.
    """
    try:
        return path.is_dir()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check its permissions"
        raise VolumeError(msg) from error
