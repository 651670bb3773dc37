"""DICOM series: list them, choose one, and read it with a geometry that is right or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.io.dicom_geometry import Stack, ordered, stack
from SAMSpineLib.io.dicom_headers import SliceHeader, is_dicom_file, read_header, scan_folder
from SAMSpineLib.io.read_result import ReadResult
from SAMSpineLib.io.sitk_image import array_of, grid_from_lps, grid_of
from SAMSpineLib.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["SeriesInfo", "is_dicom_file", "list_series", "read_dicom_file", "read_dicom_folder", "series_files"]


@dataclass(frozen=True)
class SeriesInfo:
    """One series of a folder: what a person needs to choose it.

    `index` counts from 1; `number` is DICOM's SeriesNumber; `slices` counts files; `shape` is (K, J, I); `spacing` is
    along I, J, K in mm, its last the distance from the first file's slice to the nearest. None if unknown.
    """

    index: int
    number: int | None
    uid: str
    description: str
    modality: str
    slices: int
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None

    def __str__(self) -> str:
        """Write one line for a list."""
        k, j, i = self.shape
        size = "" if self.spacing is None else ", " + " x ".join(f"{mm:.3g}" for mm in self.spacing) + " mm"
        number = "-" if self.number is None else self.number
        uid = self.uid or "(no UID)"
        return f"[{self.index}] number {number}, {self.modality} '{self.description}', {i} x {j} x {k}{size}, {uid}"


def list_series(folder: Path) -> list[SeriesInfo]:
    """List the series of DICOM images in a folder and below, localizers left out, by number and then UID.

    Raises:
        VolumeError: if there are none.
    """
    return [_info(index, slices) for index, slices in enumerate(_series_of(scan_folder(folder).slices), 1)]


def read_dicom_folder(folder: Path, *, series: str | int | None = None) -> ReadResult:
    """Read one series of a folder: `series` is its UID, SeriesNumber or index from 1, needed where there are several.

    Raises:
        VolumeError: if there is none, several and none chosen (the message lists them), or it is no plain volume.
        GeometryError: if a slice is missing, or sizes or orientations differ.
    """
    scan = scan_folder(folder)
    slices = _chosen(folder, _series_of(scan.slices), series)
    result = _read_series(slices, slices[0].description or folder.name)
    return ReadResult(result.volume, scan.notices + result.notices)


def read_dicom_file(path: Path) -> ReadResult:
    """Read a single DICOM file as a volume one slice thin.

    Raises:
        VolumeError: if it is not a greyscale DICOM image.
    """
    header = read_header(path)
    if header is None:
        msg = f"{path} is not a DICOM image (nor is a report, plan or segmentation); expected one, or a folder of them"
        raise VolumeError(msg)
    result = _read_series([header], path.stem)
    notice = f"{path.name} is one slice; give its folder to read the whole series"
    return ReadResult(result.volume, (notice, *result.notices))


def series_files(path: Path, *, series: str | int | None = None) -> list[Path]:
    """Return the files of a series, as `read_dicom_folder` chooses it; of a single file itself.

    Raises:
        VolumeError: if there is none, or several and none chosen.
    """
    if path.is_file():
        return [path]
    return [one.path for one in _chosen(path, _series_of(scan_folder(path).slices), series)]


def _series_of(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    """Group slices into series, sorted by number and then by UID."""
    groups: dict[tuple[str, ...], list[SliceHeader]] = {}
    for one in slices:
        groups.setdefault(one.key, []).append(one)
    return sorted(groups.values(), key=lambda group: (group[0].number is None, group[0].number or 0, group[0].key))


def _info(index: int, slices: Sequence[SliceHeader]) -> SeriesInfo:
    """Describe a series without judging its geometry."""
    first = slices[0]
    shape = (sum(one.frames for one in slices), first.rows, first.columns)
    places = [one.position for one in slices if one.position is not None]
    spacing = None
    if first.spacing is not None:
        gaps = sorted(float(np.linalg.norm(place - places[0])) for place in places)[1:2]
        between = next((gap for gap in gaps if gap > 0), first.thickness or 1.0)
        spacing = (*first.spacing, between)
    return SeriesInfo(index, first.number, first.uid, first.description, first.modality, len(slices), shape, spacing)


def _chosen(folder: Path, groups: list[list[SliceHeader]], series: str | int | None) -> list[SliceHeader]:
    """Return the series that was asked for, or the only one."""
    infos = [_info(index, slices) for index, slices in enumerate(groups, 1)]
    listing = "; ".join(map(str, infos))
    if series is None:
        if len(groups) > 1:
            msg = f"{folder} holds {len(groups)} DICOM series; choose one by UID or number: {listing}"
            raise VolumeError(msg)
        return groups[0]
    found = [info.index for info in infos if info.uid and info.uid == str(series)]
    if not found and str(series).strip().isdecimal():
        found = [info.index for info in infos if info.number == int(series)]
        found = found or [info.index for info in infos if info.index == int(series)]
    if len(found) != 1:
        problem = "no series" if not found else "more than one series"
        msg = f"{folder} holds {problem} '{series}'; choose one of these by UID: {listing}"
        raise VolumeError(msg)
    return groups[found[0] - 1]


def _read_series(slices: Sequence[SliceHeader], name: str) -> ReadResult:
    """Order the slices, read their pixels, and straighten them where the gantry was tilted."""
    for one in slices:
        _check_plain(one)
    kept, notices = _without_copies(ordered(slices))
    lattice = stack(kept)
    if len(kept) == 1 and kept[0].thickness is None:
        notices += (f"{kept[0].path.name} does not state its slice thickness; 1 mm is taken",)
    image = _pixels(kept)
    if len({one.slope for one in kept}) > 1:
        notices += ("Rescale slopes differ between slices; each was applied to its own",)
    direction = np.asarray(lattice.axes)
    image.SetSpacing([*lattice.spacing, lattice.thickness])
    image.SetOrigin(lattice.origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    if lattice.is_tilted:
        angle = float(np.degrees(np.arctan2(np.linalg.norm(lattice.drift), lattice.thickness)))
        image = _straightened(image, lattice)
        notices += (f"Gantry tilt of {angle:.1f} degrees: the slices were resampled (linear) onto an orthogonal grid",)
        return ReadResult(Volume(array_of(image), grid_of(image, name), name, kept[0].modality), notices)
    shape = (len(kept), kept[0].rows, kept[0].columns)
    grid = grid_from_lps(direction, [*lattice.spacing, lattice.thickness], lattice.origin, shape)
    return ReadResult(Volume(array_of(image).reshape(shape), grid, name, kept[0].modality), notices)


def _check_plain(one: SliceHeader) -> None:
    """Refuse what is not one greyscale slice per file, by name."""
    if one.frames > 1:
        what = f"an enhanced (multi-frame) image of {one.frames} frames; expected one slice per file: convert it first"
    elif one.samples > 1:
        what = f"a colour image of {one.samples} samples per pixel; expected greyscale"
    elif one.has_lookup:
        what = "an image whose values need a modality lookup table; expected rescale slope and intercept"
    else:
        return
    msg = f"{one.path} is {what}"
    raise VolumeError(msg)


def _without_copies(groups: list[list[SliceHeader]]) -> tuple[list[SliceHeader], tuple[str, ...]]:
    """Keep one slice at each place; others there must show the same.

    Raises:
        VolumeError: if two slices at one place differ.
    """
    dropped = 0
    for first, *others in groups:
        for other in others:
            if not np.array_equal(array_of(_pixels([first])), array_of(_pixels([other]))):
                msg = (
                    f"Two different slices lie at the same place: {first.path.name} and {other.path.name}; "
                    f"the series mixes several phases or reconstructions: put each into a folder of its own"
                )
                raise VolumeError(msg)
            dropped += 1
    notices = (f"{dropped} slice(s) were there twice with the same pixels; one of each is used",) if dropped else ()
    return [group[0] for group in groups], notices


def _pixels(slices: Sequence[SliceHeader]) -> sitk.Image:
    """Read the voxels of slices in the given order, rescaled, in a type that holds every value they can have."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(one.path) for one in slices])
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(_pixel_type(slices))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise VolumeError(_unreadable_text(slices)) from error
    if image.GetPixelID() == sitk.sitkInt32:
        # Files often reserve 16 bits and shift them by -1024, which could overflow int16 but seldom does.
        values = array_of(image)
        if values.min() >= -32768 and values.max() <= 32767:
            return sitk.Cast(image, sitk.sitkInt16)
    return image


def _pixel_type(slices: Sequence[SliceHeader]) -> int:
    """Choose the smallest of int16, int32 and float32 that holds all rescaled values.

    Left to itself the reader takes the type of the first file and forces the others into it.
    """
    if any(not float(number).is_integer() for one in slices for number in (one.slope, one.intercept)):
        return int(sitk.sitkFloat32)
    ends = [one.slope * end + one.intercept for one in slices for end in one.stored]
    return int(sitk.sitkInt16 if min(ends) >= -32768 and max(ends) <= 32767 else sitk.sitkInt32)


def _unreadable_text(slices: Sequence[SliceHeader]) -> str:
    """Find and name the file whose pixels cannot be read."""
    for one in slices:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(one.path))
        reader.SetImageIO("GDCMImageIO")
        try:
            reader.Execute()
        except RuntimeError:
            return f"{one.path} is truncated or damaged: its pixels cannot be read; copy or export it again"
    return f"The pixels of {len(slices)} DICOM files beginning with {slices[0].path} cannot be read"


def _straightened(image: sitk.Image, lattice: Stack) -> sitk.Image:
    """Resample slices that slide against each other onto an orthogonal grid wide enough for all of them.

    `image` pretends that the slices stand straight above each other. A point x (LPS mm) at height h above the first
    slice truly belongs to the pretended point x - drift * h / thickness. Heights of slices are kept, so there is no
    mixing of slices, only a linear shift within each.
    """
    normal, height = lattice.axes[:, 2], lattice.thickness
    shear = np.outer(lattice.drift, normal) / height
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((np.eye(3) - shear).ravel().tolist())
    transform.SetTranslation((shear @ lattice.origin).tolist())
    slide = lattice.axes[:, :2].T @ lattice.drift * (len(lattice.slices) - 1) / np.array(lattice.spacing)
    before, after = np.ceil(np.maximum(-slide, 0)), np.ceil(np.maximum(slide, 0))
    origin = lattice.origin - lattice.axes[:, :2] @ (before * np.array(lattice.spacing))
    size = np.array(image.GetSize()) + np.array([*(before + after), 0]).astype(int)
    lowest = float(array_of(image).min())
    return sitk.Resample(
        image, [int(n) for n in size], transform, sitk.sitkLinear, origin.tolist(), image.GetSpacing(),
        image.GetDirection(), lowest, image.GetPixelID(),
    )  # fmt: skip
