"""NIfTI, NRRD, MetaImage and single pictures, through SimpleITK."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SAMSpineLib.errors import GeometryError, VolumeError
from SAMSpineLib.io.complete import check_complete
from SAMSpineLib.io.nifti_header import lost_not_finite
from SAMSpineLib.io.read_result import ReadResult
from SAMSpineLib.io.sitk_image import array_of, grid_of, mend_not_finite, shape_text
from SAMSpineLib.volume import Volume, guessed_modality

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger(__name__)

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
_TRUNCATED_SIGNS = ("expected", "fread", "unexpected end", "EOF", "trouble reading NRRD")


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, two-part endings included: 'a.nii.gz' and 'a.seg.nrrd' give 'a'."""
    lower = path.name.lower()
    endings = (".seg.nrrd", *VOLUME_SUFFIXES, *PICTURE_SUFFIXES)
    fitting = [ending for ending in endings if lower.endswith(ending)]
    return path.name[: -len(max(fitting, key=len))] if fitting else path.stem


def read_image_file(path: Path) -> ReadResult:
    """Read one image file as a volume; two-dimensional files are volumes one slice thin.

    Integer voxels keep their type. NaN and infinities are replaced, with a notice.

    Raises:
        VolumeError: if the file is missing, empty, truncated, of another type, 4D, colour (pictures become grey) or
            complex.
        GeometryError: if its axes are sheared.
    """
    check_readable(path)
    notices = check_complete(path)
    image = _read(path)
    grid = grid_of(image, str(path))
    array = array_of(image).reshape(grid.shape)
    if path.name.lower().endswith((".nrrd", ".nhdr")) and not image.HasMetaDataKey("NRRD_space"):
        notices += (f"{path.name} states no orientation (no 'space' field): left and right are a guess",)
    if path.name.lower().endswith(PICTURE_SUFFIXES):
        notices += (f"{path.name} is a picture: it states no place in the patient, and its pixel size is a guess",)
    if array.dtype.kind == "f" and path.name.lower().endswith((".nii", ".nii.gz")):
        lost = lost_not_finite(path)
        if lost is not None:
            array[lost.reshape(array.shape)] = np.nan
    notices += mend_not_finite(array, path.name)
    return ReadResult(Volume(array, grid, stem_of(path), guessed_modality(array)), notices)


def check_readable(path: Path) -> None:
    """Refuse a path that is not a readable file with something in it.

    Raises:
        VolumeError: saying which of these it is.
    """
    try:
        with path.open("rb") as file:
            if not file.read(1):
                msg = f"{path} is empty (0 bytes); copy or download it again"
                raise VolumeError(msg)
    except FileNotFoundError as error:
        msg = f"{path} does not exist; expected an image file or a folder of DICOM files"
        raise VolumeError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check its permissions"
        raise VolumeError(msg) from error


def _read(path: Path) -> sitk.Image:
    """Read a file that is an image of two or three dimensions with one number per voxel."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise translated(path, error) from error
    size = list(reader.GetSize())
    if _is_coloured_picture(path, reader):
        reader.SetOutputPixelType(sitk.sitkUInt8)  # its luminance
    else:
        _refuse_more_than_a_number(path, reader)
    if len(size) > 3:
        _refuse_more_than_space(path, size)
        reader.SetExtractSize([*size[:3], *([0] * (len(size) - 3))])
    try:
        return reader.Execute()
    except (RuntimeError, MemoryError) as error:
        raise translated(path, error) from error


def _is_coloured_picture(path: Path, reader: sitk.ImageFileReader) -> bool:
    """Tell whether a file is a picture of 8 bits a colour, as scanners of ultrasound and screenshots are saved."""
    coloured = reader.GetNumberOfComponents() in {3, 4} and reader.GetPixelIDValue() == sitk.sitkVectorUInt8
    return coloured and path.name.lower().endswith(PICTURE_SUFFIXES)


def _refuse_more_than_a_number(path: Path, reader: sitk.ImageFileReader) -> None:
    """Refuse colour, vectors and complex numbers, by name."""
    components, kind = reader.GetNumberOfComponents(), sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())
    if "complex" in kind:
        msg = f"{path} holds complex numbers; expected one real number per voxel: export its magnitude"
        raise VolumeError(msg)
    if components > 1:
        word = "colour (RGB)" if components == 3 else "colour (RGBA)" if components == 4 else "vectors"
        msg = f"{path} holds {word}, {components} numbers per voxel; expected one: convert it to greyscale"
        raise VolumeError(msg)


def _refuse_more_than_space(path: Path, size: list[int]) -> None:
    """Refuse a fourth dimension, by name, unless it has a single step."""
    if any(n > 1 for n in size[3:]):
        axes = ",".join("xyztuvw"[: len(size)])
        msg = f"{path} is {len(size)}D ({axes}), {shape_text(size)}; expected 3D: export the one time step you mean"
        raise VolumeError(msg)


def translated(path: Path, error: Exception) -> VolumeError:
    """Turn SimpleITK's error into ours."""
    _LOG.debug("SimpleITK on %s: %s", path, error)
    text = str(error)
    if "orthonormal" in text.lower():
        msg = f"{path}: its axes are not perpendicular (sheared sform or directions); resample it to an orthogonal grid"
        return GeometryError(msg)
    if isinstance(error, MemoryError) or "bad_alloc" in text or "Failed to allocate" in text:
        return VolumeError(f"{path} does not fit into this machine's memory; crop or downsample it")
    if any(sign in text for sign in _TRUNCATED_SIGNS):
        return VolumeError(f"{path} is truncated or damaged: {_last_words(text)}; copy or download it again")
    if "Unable to determine ImageIO" in text:
        return VolumeError(f"{path} is not an image, though its name says so; expected {' '.join(VOLUME_SUFFIXES)}")
    return VolumeError(f"{path} cannot be read as an image: {_last_words(text)}")


def _last_words(text: str) -> str:
    """Return the last line of a long message, where ITK puts the reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-200:] if lines else "no reason given"
