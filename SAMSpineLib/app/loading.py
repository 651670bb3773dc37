"""From files to a volume or label map, in whatever thread has the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from SAMSpineLib.errors import VolumeError
from SAMSpineLib.io import list_series, place_labels, read_with_notices
from SAMSpineLib.io.nifti_nrrd import VOLUME_SUFFIXES, stem_of
from SAMSpineLib.io.numbering import read_labels
from SAMSpineLib.labels import LabelTable
from SAMSpineLib.volume import Grid, Volume


@dataclass(frozen=True)
class Series:
    """A DICOM series to choose: `uid` names it, `text` describes it."""

    uid: str
    text: str


@dataclass(frozen=True)
class Found:
    """What a set of files is: a `path` to read, of a segmentation or not, and series where there is a choice."""

    path: Path
    is_segmentation: bool = False
    series: tuple[Series, ...] = ()


def found_in(path: Path, *, kind: str = "any") -> Found:
    """Tell what a file, or a folder of files, is.

    Args:
        path: of what is to be opened.
        kind: `volume`, `segmentation`, or `any`: then a name with "seg." or "label" in it is a segmentation.

    Raises:
        VolumeError: if there is nothing in it that can be opened.
    """
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    if not files:
        msg = "There is no file in it to open"
        raise VolumeError(msg)
    images = [one for one in files if one.name.lower().endswith(VOLUME_SUFFIXES)]
    if images:
        return Found(images[0], kind == "segmentation" or (kind == "any" and _sounds_like_labels(images[0])))
    if path.is_file():
        return Found(path)
    folder = Path(path)
    series = list_series(folder)
    choice = tuple(Series(one.uid, _described(one.description, one.modality, one.shape)) for one in series)
    return Found(folder, series=choice if len(choice) > 1 else ())


def _sounds_like_labels(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(".seg.nrrd") or "_seg" in name or "label" in name or "msk" in name


def _described(description: str, modality: str, shape: Sequence[int]) -> str:
    k, j, i = shape
    return f"{modality} {description or '(no description)'}, {i} x {j} x {k}"


def read_image(found: Found, *, series: str | None = None) -> tuple[Volume, str, tuple[str, ...]]:
    """Return the volume of what was found, a name for it, and a sentence for each repair.

    Raises:
        VolumeError: if it cannot be read.
    """
    result = read_with_notices(found.path, series=series)
    name = stem_of(found.path) if found.path.is_file() else result.volume.name
    return result.volume, name, result.notices


def read_labels_on(path: Path, table: LabelTable, grid: Grid) -> npt.NDArray[np.integer]:
    """Return a label map (K, J, I) of a file in the table's values, on the grid of the volume that is open.

    Raises:
        VolumeError: if it cannot be read, or lies elsewhere.
        LabelError: if no structure in it is known.
    """
    found = read_labels(path, table).volume
    placed = place_labels(found.array.astype(np.uint16), found.grid, grid)
    if not placed.any():
        msg = f"{path.name} lies outside of the volume that is open: open its own image first"
        raise VolumeError(msg)
    return placed
